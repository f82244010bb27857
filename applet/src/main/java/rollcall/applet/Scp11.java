package rollcall.applet;

import javacard.framework.CardRuntimeException;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.KeyBuilder;

/**
  * The SCP11a handshake of GlobalPlatform Amendment F: verifies the terminal's certificate and agrees on session keys.
 *
 * Specification: docs/protocol.md, "The handshake".
 */
final class Scp11 {

    /** P2 of the two commands: the identifier of the key whose version is in P1. */
    private static final byte P2_CA = 0x10;
    private static final byte P2_ECKA = 0x11;

    /** The only supported parameters, up to the ephemeral point: SCP11a, C-MAC/C-ENC/R-MAC/R-ENC, AES, 16 bytes. */
    private static final byte[] PARAMETERS = {
        (byte) 0xA6, 0x0D, (byte) 0x90, 0x02, 0x11, 0x01, (byte) 0x95, 0x01, 0x3C,
        (byte) 0x80, 0x01, (byte) 0x88, (byte) 0x81, 0x01, 0x10, 0x5F, 0x49, 0x41
    };
    /** Counter 1 of the KDF, then SharedInfo: key usage, key type, key length. */
    private static final byte[] KDF_INPUT = {0x00, 0x00, 0x00, 0x01, 0x3C, (byte) 0x88, 0x10};
    private static final byte KEY_BLOCKS = 3;

    // Working space in the buffer. The command data stay in front of the answer, as the receipt covers both.
    private static final short POINT = 18;
    /** The length of the command data, and the offset of the answer. */
    private static final short COMMAND = 83;
    private static final short ANSWER_POINT = 86;
    private static final short RECEIPT_OBJECT = 151;
    private static final short RECEIPT = 153;
    /** The length of the answer. */
    private static final short ANSWER = 86;
    private static final short SECRET = 176;
    private static final short SECRET_END = 240;
    private static final short KEYS = 256;

    private static final byte EPHEMERALS = 8;
    /** Index of the decoy key, after the ephemeral keys. */
    private static final byte DECOY = EPHEMERALS;

    private final Transients ram;
    private final Lifecycle life;
    private final Keys keys;
    private final Records records;
    private final SecureMessaging messaging;
    private final Ec ec;
    private final Persistent store;
    private final Certificate certificate;
    /**
      * One key in RAM if the card supports that type, else several in persistent memory, to spread the wear. The last
      * one is the decoy, used for ECKA keys a private token does not have, so that it looks the same as one that has
      * them.
     */
    private final ECPrivateKey[] ephemerals;
    private final boolean inRam;

    Scp11(Transients ram, Lifecycle life, Keys keys, Records records, SecureMessaging messaging, Ec ec,
        Persistent store, Certificate certificate) {
        this.ram = ram;
        this.life = life;
        this.keys = keys;
        this.records = records;
        this.messaging = messaging;
        this.ec = ec;
        this.store = store;
        this.certificate = certificate;
        ephemerals = new ECPrivateKey[(short) (DECOY + 1)];
        ephemerals[0] = transientKey();
        inRam = ephemerals[0] != null;
    }

    /** Creates the missing keys. */
    void grow() {
        for (byte i = 0; !inRam && i < DECOY; i++) {
            if (ephemerals[i] == null) {
                store.step();
                ephemerals[i] = persistentKey();
            }
        }
        if (ephemerals[DECOY] == null) {
            store.step();
            ECPrivateKey decoy = persistentKey();
            ec.randomScalar(ram.buffer, (short) 0);
            store.privateKey(decoy, ram.buffer, (short) 0);
            ram.clearBuffer();
            ephemerals[DECOY] = decoy;
        }
    }

    private static ECPrivateKey persistentKey() {
        return (ECPrivateKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PRIVATE, P256.BITS, false);
    }

    /** Null if the card lacks this key type (J3H145, the simulator) or has no RAM left for it. */
    private static ECPrivateKey transientKey() {
        try {
            return (ECPrivateKey) KeyBuilder.buildKey(
                KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT, P256.BITS, false);
        } catch (CardRuntimeException missing) {
            return null;
        }
    }

    /**
     * PERFORM SECURITY OPERATION [verify certificate], Amendment F, 7.5.
     *
      * PRE-CONDITION: the session is wiped, so it holds nothing that a stranger's certificate could use.
     */
    void verifyCertificate(short length) {
        life.requireInUse();
        Tlv.require(ram.transport[Transients.P2] == P2_CA);
        KeyEntry ca = keys.find(Constants.KID_CA, ram.transport[Transients.P1]);
        if (ca == null) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }

        // EXECUTION STEPS
        // 1. The signature, then the form. Not the date: a rejection would reveal the token's date to a stranger.
        byte role = certificate.verifyTerminal(length, ca.inForce().point);

        // 2. Keep what the handshake and the proof need from it.
        byte[] session = ram.session;
        session[Transients.ROLE] = role;
        Util.arrayCopyNonAtomic(ram.buffer, certificate.point(), session, Transients.TERMINAL_POINT, Constants.POINT);
        Util.arrayCopyNonAtomic(ram.buffer, certificate.notBefore(), session, Transients.NOT_BEFORE, Constants.DATE);
        Util.arrayCopyNonAtomic(ram.buffer, certificate.notAfter(), session, Transients.NOT_AFTER, Constants.DATE);
        ec.sha256.doFinal(ram.buffer, (short) 0, length, session, Transients.BINDING);
        session[Transients.PHASE] = Transients.CERTIFICATE_SEEN;
    }

    /**
     * MUTUAL AUTHENTICATE, Amendment F, 7.6.
     *
      * PRE-CONDITION: a certificate was seen. The caller wipes on any rejection, so that each certificate and each
      * ephemeral key is good for one attempt only.
     */
    short mutualAuthenticate(short length) {
        life.requireInUse();
        if (ram.phase() != Transients.CERTIFICATE_SEEN) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
        Tlv.require(ram.transport[Transients.P2] == P2_ECKA);
        boolean isPrivate = records.isPrivate();
        KeyEntry ecka = keys.find(Constants.KID_ECKA, ram.transport[Transients.P1]);
        if (ecka == null && !isPrivate) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
        Tlv.require(length == COMMAND && Tlv.literal(ram.buffer, (short) 0, length, PARAMETERS) == POINT);

        // EXECUTION STEPS
        // 1. "The card generates an ephemeral key pair" and Z = ECDH(ephemeral, ephemeral) || ECDH(static, static).
        agree(ecka == null ? ephemerals[DECOY] : ecka.inForce().scalar);
        // 2. "The session keys are derived from the shared secrets" (Amendment F, 5.2: X9.63 KDF).
        deriveKeys();
        // 3. The receipt over the command data and the card's ephemeral point is the first chaining value.
        putReceipt(messaging.macUnder(ram.buffer, KEYS));
        bindChannel();
        messaging.load(ram.buffer, (short) (KEYS + Constants.KEY));
        Util.arrayCopyNonAtomic(ram.buffer, (short) (KEYS + 4 * Constants.KEY), ram.session, Transients.DEK, Constants.KEY);
        Util.arrayCopyNonAtomic(
            ram.buffer, (short) (KEYS + 5 * Constants.KEY), ram.session, Transients.RESUMPTION_KEY, Constants.KEY);
        // 4. A set key is shared by many tokens: one extracted from a token must not allow writing to the others.
        if (ecka == null || ecka.kvn != Constants.KVN_OWN) {
            ram.session[Transients.ROLE] = Transients.READ;
        }
        ram.session[Transients.PHASE] = Transients.KEYS_AGREED;
        Util.arrayCopyNonAtomic(ram.buffer, COMMAND, ram.buffer, (short) 0, ANSWER);
        Util.arrayFillNonAtomic(ram.buffer, ANSWER, (short) (Transients.BUFFER - ANSWER), (byte) 0);
        return ANSWER;
    }

    private void agree(ECPrivateKey ownStatic) {
        byte[] b = ram.buffer;
        ECPrivateKey ephemeral = newEphemeral();
        b[COMMAND] = 0x5F;
        b[(short) (COMMAND + 1)] = 0x49;
        b[(short) (COMMAND + 2)] = (byte) Constants.POINT;
        ec.pointOf(ephemeral, b, ANSWER_POINT);
        boolean agreed = ec.agree(ephemeral, b, POINT, b, SECRET)
            & ec.agree(ownStatic, ram.session, Transients.TERMINAL_POINT, b, (short) (SECRET + Constants.SCALAR));
        if (inRam) {
            ephemeral.clearKey();
        }
        Tlv.require(agreed);
    }

    /** Whether the point in the buffer is on the curve; overwrites the 32 bytes at {@code scratch}. */
    boolean isOnCurve(short point, short scratch) {
        return ec.agree(ephemerals[DECOY], ram.buffer, point, ram.buffer, scratch);
    }

    private ECPrivateKey newEphemeral() {
        byte[] b = ram.buffer;
        ECPrivateKey ephemeral = ephemerals[0];
        if (inRam) {
            // In RAM even the curve parameters are lost at every deselect.
            P256.setParameters(ephemeral);
            ec.randomScalar(b, SECRET);
            ephemeral.setS(b, SECRET, Constants.SCALAR);
        } else {
            // One of them at random: strict rotation would cost a second write, for the position.
            ec.random(b, SECRET, (short) 1);
            ephemeral = ephemerals[(byte) (b[SECRET] & (EPHEMERALS - 1))];
            ec.randomScalar(b, SECRET);
            store.privateKey(ephemeral, b, SECRET);
        }
        return ephemeral;
    }

    /** 96 bytes: receipt key, S-ENC, S-MAC, S-RMAC, DEK, K. SCP11a needs 80; the last block yields the other 16. */
    private void deriveKeys() {
        byte[] b = ram.buffer;
        Util.arrayCopyNonAtomic(KDF_INPUT, (short) 0, b, SECRET_END, (short) KDF_INPUT.length);
        short to = KEYS;
        for (byte i = 1; i <= KEY_BLOCKS; i++) {
            b[(short) (SECRET_END + 3)] = i;
            ec.sha256.doFinal(b, SECRET, (short) (SECRET_END - SECRET + KDF_INPUT.length), b, to);
            to = (short) (to + Constants.HASH);
        }
    }

    private void putReceipt(Cmac receipt) {
        byte[] b = ram.buffer;
        receipt.update(b, (short) 0, RECEIPT_OBJECT);
        b[RECEIPT_OBJECT] = (byte) 0x86;
        b[(short) (RECEIPT_OBJECT + 1)] = (byte) Constants.BLOCK;
        receipt.finish(b, RECEIPT);
        Util.arrayCopyNonAtomic(b, RECEIPT, ram.session, Transients.MAC_CHAIN, Constants.BLOCK);
    }

    /** SHA-256(SELECT answer, SHA-256(terminal certificate), command data, 5F49 object, 86 object). */
    private void bindChannel() {
        ec.sha256.reset();
        ec.sha256.update(ram.selected, (short) 1, ram.selected[0]);
        ec.sha256.update(ram.session, Transients.BINDING, Constants.HASH);
        ec.sha256.doFinal(ram.buffer, (short) 0, (short) (COMMAND + ANSWER), ram.session, Transients.BINDING);
    }
}
