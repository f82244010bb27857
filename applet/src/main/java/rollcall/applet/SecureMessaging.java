package rollcall.applet;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/**
  * Secure messaging of GlobalPlatform Amendment D (SCP03), level 33: C-MAC, C-ENC, R-MAC and R-ENC. Each engine gets
  * its key once per session, so the ICV is XORed in by hand where Amendment D passes it to the cipher.
 *
 * Specification: docs/protocol.md, "Secure messaging".
 */
final class SecureMessaging {

    private static final byte PADDING = (byte) 0x80;
    private static final byte ANSWER = (byte) 0x80;

    final Transients ram;
    private final Cipher encryption;
    private final Cipher decryption;
    private final Cmac commandMac;
    private final Cmac answerMac;
    private final AESKey enc;
    private final AESKey mac;
    private final AESKey rmac;
    private final AESKey work;

    SecureMessaging(Transients ram) {
        this.ram = ram;
        encryption = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
        decryption = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
        Signature cbcMac = Signature.getInstance(Signature.ALG_AES_MAC_128_NOPAD, false);
        commandMac = new Cmac(cbcMac);
        cbcMac = Signature.getInstance(Signature.ALG_AES_MAC_128_NOPAD, false);
        answerMac = new Cmac(cbcMac);
        enc = transientKey();
        mac = transientKey();
        rmac = transientKey();
        work = transientKey();
    }

    private static AESKey transientKey() {
        return (AESKey) KeyBuilder.buildKey(
            KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false);
    }

    void clear() {
        enc.clearKey();
        mac.clearKey();
        rmac.clearKey();
        work.clearKey();
    }

    /** A CMAC under another key, before the session keys are set; {@link #load} reclaims the engine. */
    Cmac macUnder(AESKey key) {
        answerMac.init(key);
        return answerMac;
    }

    Cmac macUnder(byte[] key, short offset) {
        work.setKey(key, offset);
        answerMac.init(work);
        return answerMac;
    }

    /** Sets S-ENC, S-MAC and S-RMAC, and resets the encryption counter. */
    void load(byte[] keys, short offset) {
        enc.setKey(keys, offset);
        mac.setKey(keys, (short) (offset + Constants.KEY));
        rmac.setKey(keys, (short) (offset + 2 * Constants.KEY));
        work.clearKey();
        initCiphers();
        commandMac.init(mac);
        answerMac.init(rmac);
        Util.arrayFillNonAtomic(ram.session, Transients.COUNTER, Constants.BLOCK, (byte) 0);
    }

    private void initCiphers() {
        encryption.init(enc, Cipher.MODE_ENCRYPT);
        decryption.init(enc, Cipher.MODE_DECRYPT);
    }

    /**
     * Amendment D, 6.2.4: the C-MAC covers the chaining value, the header, Lc and the data as sent. The full 16 bytes
     * become the next chaining value.
     */
    boolean verify(short length) {
        short n = (short) (length - Constants.MAC);
        if (n < 0) {
            return false;
        }
        byte[] session = ram.session;
        commandMac.reset();
        commandMac.update(session, Transients.MAC_CHAIN, Constants.BLOCK);
        commandMac.update(ram.transport, Transients.HEADER, (short) 4);
        updateLc(length);
        commandMac.update(ram.buffer, (short) 0, n);
        commandMac.finish(session, Transients.SCRATCH);
        if (!equal(session, Transients.SCRATCH, ram.buffer, n, Constants.MAC)) {
            return false;
        }
        Util.arrayCopyNonAtomic(session, Transients.SCRATCH, session, Transients.MAC_CHAIN, Constants.BLOCK);
        return true;
    }

    /** Lc as sent; a chain counts as one short command if its data fit into one, else as an extended command. */
    private void updateLc(short length) {
        boolean extended = ram.transport[Transients.CHAINED] != 0
            ? length > 0xFF : ram.transport[Transients.EXTENDED] != 0;
        if (extended) {
            commandMac.update((byte) 0);
            commandMac.update((byte) (length >> 8));
        }
        commandMac.update((byte) length);
    }

    /** Compares in constant time. */
    static boolean equal(byte[] a, short aOffset, byte[] b, short bOffset, short length) {
        byte difference = 0;
        for (short i = 0; i < length; i++) {
            difference |= (byte) (a[(short) (aOffset + i)] ^ b[(short) (bOffset + i)]);
        }
        return difference == 0;
    }

    /**
      * Amendment D, 6.2.6, for a command whose C-MAC is valid. Returns the length of the plain data, -1 when the
      * padding is wrong. For a command without data some clients send an encrypted padding block and some nothing; both
      * are counted.
     */
    short decrypt(short length) {
        byte[] buffer = ram.buffer;
        short n = (short) (length - Constants.MAC);
        countUp();
        if (n == 0) {
            return 0;
        }
        if ((short) (n % Constants.BLOCK) != 0) {
            return -1;
        }
        decryption.doFinal(buffer, (short) 0, n, buffer, (short) 0);
        xorIcv((byte) 0);
        // ISO/IEC 9797-1, method 2: the padding starts within the last block.
        short last = (short) (n - Constants.BLOCK);
        do {
            n--;
        } while (n > last && buffer[n] == 0);
        return buffer[n] == PADDING ? n : -1;
    }

    private void countUp() {
        for (short i = (short) (Transients.COUNTER + Constants.BLOCK - 1); i >= Transients.COUNTER; i--) {
            ram.session[i]++;
            if (ram.session[i] != 0) {
                return;
            }
        }
    }

    /** XORs in the ICV: the encrypted counter, with 80 as its top byte for an answer. */
    private void xorIcv(byte direction) {
        byte[] session = ram.session;
        session[Transients.COUNTER] = direction;
        encryption.doFinal(session, Transients.COUNTER, Constants.BLOCK, session, Transients.SCRATCH);
        session[Transients.COUNTER] = 0;
        for (short i = 0; i < Constants.BLOCK; i++) {
            ram.buffer[i] ^= session[(short) (Transients.SCRATCH + i)];
        }
    }

    /** Amendment D, 6.2.5 and 6.2.7: encrypts the answer data, if any, and appends the R-MAC, for status 9000. */
    short wrap(short length) {
        byte[] buffer = ram.buffer;
        short n = length == 0 ? 0 : encryptAnswer(length);
        answerMac.reset();
        answerMac.update(ram.session, Transients.MAC_CHAIN, Constants.BLOCK);
        answerMac.update(buffer, (short) 0, n);
        answerMac.update((byte) (Constants.SW_OK >> 8));
        answerMac.update((byte) Constants.SW_OK);
        answerMac.finish(ram.session, Transients.SCRATCH);
        return Util.arrayCopyNonAtomic(ram.session, Transients.SCRATCH, buffer, n, Constants.MAC);
    }

    private short encryptAnswer(short length) {
        byte[] buffer = ram.buffer;
        short n = (short) (length + Constants.BLOCK - length % Constants.BLOCK);
        Util.arrayFillNonAtomic(buffer, length, (short) (n - length), (byte) 0);
        buffer[length] = PADDING;
        xorIcv(ANSWER);
        encryption.doFinal(buffer, (short) 0, n, buffer, (short) 0);
        return n;
    }

    /** Decrypts a key or a scalar under the DEK: AES-CBC with a zero ICV (Amendment D, 7.2; Amendment F, 7.1). */
    void decryptUnderDek(short from, short length, short to) {
        work.setKey(ram.session, Transients.DEK);
        decryption.init(work, Cipher.MODE_DECRYPT);
        decryption.doFinal(ram.buffer, from, length, ram.buffer, to);
        work.clearKey();
        initCiphers();
    }

    /** The check value of an AES key: the first 3 bytes of 01...01 encrypted (GP Card Specification, B.6). */
    void checkValue(AESKey key, short to) {
        Util.arrayFillNonAtomic(ram.session, Transients.SCRATCH, Constants.BLOCK, (byte) 1);
        encryption.init(key, Cipher.MODE_ENCRYPT);
        encryption.doFinal(ram.session, Transients.SCRATCH, Constants.BLOCK, ram.session, Transients.SCRATCH);
        Util.arrayCopyNonAtomic(ram.session, Transients.SCRATCH, ram.buffer, to, (short) 3);
        initCiphers();
    }

    void checkValue(short keyOffset, short to) {
        work.setKey(ram.buffer, keyOffset);
        checkValue(work, to);
        work.clearKey();
    }
}
