package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * Opens the secure channel of GlobalPlatform Amendment D (SCP03). Used for enrollment only: unavailable once ISSUED.
 *
 * Specification: docs/protocol.md, "INITIALIZE UPDATE and EXTERNAL AUTHENTICATE".
 */
final class Scp03 {

    private static final short CHALLENGE = 8;
    private static final short DIVERSIFICATION = 10;
    /** Amendment D, 5.1: R-MAC and R-ENCRYPTION supported, card challenge random. */
    private static final byte OPTIONS = 0x60;
    private static final byte SCP03 = 0x03;

    // Derivation constants, Amendment D, table 4-1.
    private static final byte CARD_CRYPTOGRAM = 0x00;
    private static final byte HOST_CRYPTOGRAM = 0x01;
    private static final byte S_ENC = 0x04;
    private static final byte S_MAC = 0x06;
    private static final byte S_RMAC = 0x07;
    private static final short KEY_BITS = 0x80;
    private static final short CRYPTOGRAM_BITS = 0x40;

    // Working space in the buffer; the received host challenge is at 0.
    private static final short CARD_CHALLENGE = 8;
    private static final short INPUT = 16;
    private static final short SESSION_KEYS = 48;
    private static final short CRYPTOGRAM = 96;
    private static final short ANSWER = 112;

    private final Transients ram;
    private final Lifecycle life;
    private final Scp03Keys keys;
    private final SecureMessaging messaging;
    private final Ec ec;
    private final byte[] diversification;

    Scp03(Transients ram, Lifecycle life, Scp03Keys keys, SecureMessaging messaging, Ec ec) {
        this.ram = ram;
        this.life = life;
        this.keys = keys;
        this.messaging = messaging;
        this.ec = ec;
        diversification = new byte[DIVERSIFICATION];
        ec.random(diversification, (short) 0, DIVERSIFICATION);
    }

    /**
     * INITIALIZE UPDATE, Amendment D, 7.1.1.
     *
     * PRE-CONDITION: the token is not ISSUED yet.
     */
    short initializeUpdate(short length) {
        life.requireEnrolling();
        Tlv.require(ram.transport[Transients.P2] == 0);
        if (ram.transport[Transients.P1] != 0 && ram.transport[Transients.P1] != keys.kvn()) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
        if (length != CHALLENGE) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }

        // EXECUTION STEPS
        // 1. "The card generates its challenge and the session keys" (5.2, 6.2.1).
        byte[] buffer = ram.buffer;
        ec.random(buffer, CARD_CHALLENGE, CHALLENGE);
        derive(messaging.macUnder(keys.inForce(Scp03Keys.ENC)), S_ENC, KEY_BITS, SESSION_KEYS);
        Cmac mac = messaging.macUnder(keys.inForce(Scp03Keys.MAC));
        derive(mac, S_MAC, KEY_BITS, (short) (SESSION_KEYS + Constants.KEY));
        derive(mac, S_RMAC, KEY_BITS, (short) (SESSION_KEYS + 2 * Constants.KEY));

        // 2. Both cryptograms under S-MAC (6.2.2): the host's is kept for comparison.
        mac = messaging.macUnder(buffer, (short) (SESSION_KEYS + Constants.KEY));
        derive(mac, HOST_CRYPTOGRAM, CRYPTOGRAM_BITS, CRYPTOGRAM);
        Util.arrayCopyNonAtomic(buffer, CRYPTOGRAM, ram.session, Transients.BINDING, Constants.MAC);
        derive(mac, CARD_CRYPTOGRAM, CRYPTOGRAM_BITS, CRYPTOGRAM);

        // 3. The session gets its own copy of the DEK, so that RESET and PUT KEY do not take it away.
        messaging.load(buffer, SESSION_KEYS);
        keys.inForce(Scp03Keys.DEK).getKey(ram.session, Transients.DEK);
        ram.session[Transients.PHASE] = Transients.INITIALIZED;

        // 4. The answer, which overwrites the keys in the buffer.
        return putAnswer();
    }

    private short putAnswer() {
        byte[] buffer = ram.buffer;
        short end = Util.arrayCopyNonAtomic(diversification, (short) 0, buffer, ANSWER, DIVERSIFICATION);
        buffer[end++] = keys.kvn();
        buffer[end++] = SCP03;
        buffer[end++] = OPTIONS;
        end = Util.arrayCopyNonAtomic(buffer, CARD_CHALLENGE, buffer, end, CHALLENGE);
        end = Util.arrayCopyNonAtomic(buffer, CRYPTOGRAM, buffer, end, Constants.MAC);
        Util.arrayFillNonAtomic(buffer, (short) 0, ANSWER, (byte) 0);
        return Util.arrayCopyNonAtomic(buffer, ANSWER, buffer, (short) 0, (short) (end - ANSWER));
    }

    /** Amendment D, 4.1.5: one block of the KDF in counter mode, with both challenges as context. */
    private void derive(Cmac mac, byte constant, short bits, short to) {
        byte[] buffer = ram.buffer;
        Cmac.putLabel(buffer, INPUT, constant, bits);
        mac.update(buffer, INPUT, Constants.BLOCK);
        mac.update(buffer, (short) 0, (short) (2 * CHALLENGE));
        mac.finish(buffer, to);
    }

    /**
     * EXTERNAL AUTHENTICATE, Amendment D, 7.1.2.
     *
      * PRE-CONDITION: directly after INITIALIZE UPDATE; the dispatcher ensures this. The caller wipes on any rejection.
     */
    void externalAuthenticate(short length) {
        Tlv.require(ram.tag() == (short) 0x3300);
        if (length != (short) (2 * Constants.MAC)) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }

        // EXECUTION STEPS
        // 1. The cryptogram before the MAC: with a wrong key both fail, and that must differ from a transmission error.
        if (!SecureMessaging.equal(ram.session, Transients.BINDING, ram.buffer, (short) 0, Constants.MAC)) {
            ISOException.throwIt(Constants.SW_AUTHENTICATION_FAILED);
        }
        // 2. The C-MAC, over a chaining value of 16 zero bytes.
        if (!messaging.verify(length)) {
            ISOException.throwIt(Constants.SW_SECURITY_STATUS);
        }
        ram.session[Transients.PHASE] = Transients.CHANNEL;
        ram.session[Transients.ROLE] = Transients.PERSONALISATION;
    }
}
