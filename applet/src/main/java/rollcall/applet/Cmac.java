package rollcall.applet;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.Signature;

/**
  * AES-CMAC (RFC 4493) built on CBC-MAC, because the J3H145 has no CMAC. CMAC is the CBC-MAC of a message whose last
  * block is XORed with a subkey, so the last block is held back until the end of the message is known.
 */
final class Cmac {

    private static final short SUBKEY = 0;
    private static final short LAST = 16;
    private static final short FILL = 32;
    private static final short STATE = 33;

    private final Signature cbcMac;
    private final byte[] state;

    /** @param cbcMac AES-CBC-MAC without padding; must not be shared */
    Cmac(Signature cbcMac) {
        this.cbcMac = cbcMac;
        state = JCSystem.makeTransientByteArray(STATE, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Sets the key for all MACs that follow. Done once per session, because a card needs up to 14 ms for it. */
    void init(AESKey key) {
        cbcMac.init(key, Signature.MODE_SIGN);
        reset();
        // RFC 4493, 2.3: L is the encryption of the zero block; K1 is L doubled.
        Util.arrayFillNonAtomic(state, LAST, Constants.BLOCK, (byte) 0);
        cbcMac.sign(state, LAST, Constants.BLOCK, state, SUBKEY);
        doubleSubkey();
    }

    /** Writes the first block of KDF input in counter mode (Amendment D, 4.1.5); the context follows it. */
    static void putLabel(byte[] to, short at, byte constant, short bits) {
        Util.arrayFillNonAtomic(to, at, Constants.BLOCK, (byte) 0);
        to[(short) (at + 11)] = constant;
        Util.setShort(to, (short) (at + 13), bits);
        to[(short) (at + 15)] = 1;
    }

    void reset() {
        state[FILL] = 0;
    }

    /** Passes whole blocks to the engine in one call: on a card a call costs about the same for 16 bytes as for 256. */
    void update(byte[] data, short offset, short length) {
        while (length > 0) {
            if (state[FILL] == Constants.BLOCK) {
                cbcMac.update(state, LAST, Constants.BLOCK);
                state[FILL] = 0;
            }
            if (state[FILL] == 0 && length > Constants.BLOCK) {
                short whole = (short) ((short) (length - 1) & ~(Constants.BLOCK - 1));
                cbcMac.update(data, offset, whole);
                offset = (short) (offset + whole);
                length = (short) (length - whole);
            }
            short n = (short) (Constants.BLOCK - state[FILL]);
            if (n > length) {
                n = length;
            }
            Util.arrayCopyNonAtomic(data, offset, state, (short) (LAST + state[FILL]), n);
            state[FILL] = (byte) (state[FILL] + n);
            offset = (short) (offset + n);
            length = (short) (length - n);
        }
    }

    void update(byte value) {
        if (state[FILL] == Constants.BLOCK) {
            cbcMac.update(state, LAST, Constants.BLOCK);
            state[FILL] = 0;
        }
        state[(short) (LAST + state[FILL])] = value;
        state[FILL]++;
    }

    /** Writes the 16-byte MAC and resets for the next message. */
    void finish(byte[] out, short offset) {
        // A separate method, so that its stack is free again before the call of the engine, which needs a lot itself.
        closeLast();
        reset();
        cbcMac.sign(state, LAST, Constants.BLOCK, out, offset);
    }

    /**
      * Computes the MAC of contiguous data (at least one byte) with one call of the engine. Overwrites up to 15 bytes
      * after the data.
     */
    void sign(byte[] data, short offset, short length, byte[] out, short at) {
        short end = (short) (offset + length);
        short last = (short) (offset + ((short) (length - 1) & ~(Constants.BLOCK - 1)));
        boolean full = (short) (end - last) == Constants.BLOCK;
        if (!full) {
            pad(data, end, (short) (last + Constants.BLOCK));
        }
        addSubkey(data, last);
        cbcMac.sign(data, offset, (short) (last + Constants.BLOCK - offset), out, at);
        addSubkey(data, last);
        if (!full) {
            halveSubkey();
        }
    }

    /** RFC 4493, 2.4: a full last block uses K1; a partial one is padded with 80 00... and uses K2 = K1 doubled. */
    private void pad(byte[] block, short end, short behind) {
        block[end] = (byte) 0x80;
        end++;
        Util.arrayFillNonAtomic(block, end, (short) (behind - end), (byte) 0);
        doubleSubkey();
    }

    private void addSubkey(byte[] block, short at) {
        for (short i = 0; i < Constants.BLOCK; i++) {
            block[(short) (at + i)] ^= state[i];
        }
    }

    private void closeLast() {
        boolean full = state[FILL] == Constants.BLOCK;
        if (!full) {
            pad(state, (short) (LAST + state[FILL]), FILL);
        }
        addSubkey(state, LAST);
        if (!full) {
            halveSubkey();
        }
    }

    /** Multiplies by x in GF(2^128), without branching on the key. */
    private void doubleSubkey() {
        byte carry = (byte) (state[0] >> 7);
        for (short i = 0; i < (short) (Constants.BLOCK - 1); i++) {
            state[i] = (byte) ((state[i] << 1) | ((state[(short) (i + 1)] >> 7) & 1));
        }
        state[15] = (byte) ((state[15] << 1) ^ (carry & 0x87));
    }

    /** Divides by x: recovers K1 from K2, which saves 16 bytes of RAM. */
    private void halveSubkey() {
        byte carry = (byte) -(state[15] & 1);
        state[15] ^= (byte) (carry & 0x87);
        for (short i = (short) (Constants.BLOCK - 1); i > 0; i--) {
            state[i] = (byte) (((state[i] >> 1) & 0x7F) | (state[(short) (i - 1)] << 7));
        }
        state[0] = (byte) (((state[0] >> 1) & 0x7F) | (carry & 0x80));
    }
}
