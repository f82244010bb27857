package rollcall.applet;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.Key;

/**
  * The only class that writes persistent memory. Each method is one write point: tests replace this class with one that
  * counts the writes and tears a chosen one.
  *
  * No transactions are used: data is written to a copy that is not in force, and then one byte of {@link #state} puts
  * it in force. A card writes a single byte atomically.
 */
class Persistent {

    // Offsets in `state`.
    static final byte LIFE = 0;
    /** Which SCP03 keys are in force: 0 the start keys, 1 or 2 a copy of the per-token keys. */
    static final byte SCP03_COPY = 1;
    /** Set once a TERMINATED token has been completely erased. */
    static final byte ZEROISED = 2;
    /** Directory bytes of the keys, see {@link KeyEntry}. */
    static final byte KEYS = 3;
    /** Which copy of each object is in force, see {@link StoredObject}. */
    static final byte OBJECTS = 9;
    private static final short STATE = 15;

    private final byte[] state;

    Persistent() {
        state = new byte[STATE];
    }

    /** Called before each object is created and its reference stored, while the token is built at its first command. */
    void step() {
    }

    byte get(byte index) {
        return state[index];
    }

    void set(byte index, byte value) {
        state[index] = value;
    }

    void copy(byte[] from, short fromOffset, byte[] to, short toOffset, short length) {
        Util.arrayCopyNonAtomic(from, fromOffset, to, toOffset, length);
    }

    void put(byte[] to, short offset, byte value) {
        to[offset] = value;
    }

    void writeShort(byte[] to, short offset, short value) {
        Util.setShort(to, offset, value);
    }

    void zero(byte[] to) {
        Util.arrayFillNonAtomic(to, (short) 0, (short) to.length, (byte) 0);
    }

    void zero(byte[] to, short offset, short length) {
        Util.arrayFillNonAtomic(to, offset, length, (byte) 0);
    }

    void aesKey(AESKey key, byte[] from, short offset) {
        key.setKey(from, offset);
    }

    /** The curve parameters stay in a key until it is cleared, so this usually writes only 32 bytes. */
    void privateKey(ECPrivateKey key, byte[] from, short offset) {
        if (!key.isInitialized()) {
            P256.setParameters(key);
        }
        key.setS(from, offset, Constants.SCALAR);
    }

    void publicKey(ECPublicKey key, byte[] from, short offset) {
        P256.setParameters(key);
        key.setW(from, offset, Constants.POINT);
    }

    void clear(Key key) {
        key.clearKey();
    }
}
