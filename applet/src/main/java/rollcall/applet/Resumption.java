package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * RESUME and presence, the fast tap: a terminal to which this token recently proved itself reconnects with the key of
  * that channel. This needs no public-key operation and writes only one byte.
 *
 * Specification: docs/protocol.md, "The fast tap".
 */
final class Resumption {

    /** P1 P2 of INTERNAL AUTHENTICATE as the first command of a resumed channel. */
    static final short PRESENCE = 0x0201;

    private static final short NONCE = 16;
    private static final short COMMAND = (short) (Slots.TID + NONCE);

    // Derivation constants that Amendment D does not use.
    private static final byte CRYPTOGRAM = 0x42;
    private static final byte S_ENC = 0x44;
    private static final byte S_MAC = 0x46;
    private static final byte S_RMAC = 0x47;
    private static final short KEY_BITS = 0x80;

    // Working space in the buffer: the KDF input in one piece, then, past the longest SELECT answer, what is derived.
    private static final short LABEL = 0;
    private static final short TERMINAL_NONCE = 16;
    private static final short CARD_NONCE = 32;
    private static final short SELECT_ANSWER = 48;
    private static final short KEYS = 112;
    private static final short CHAIN = 160;
    private static final short RESUMPTION_KEY = 176;
    private static final short END = 192;
    /** Nc and the first half of the chaining value. */
    private static final short ANSWER = (short) (NONCE + Constants.MAC);

    private final Transients ram;
    private final Lifecycle life;
    private final Records records;
    private final UseCounter counter;
    private final Slots slots;
    private final SecureMessaging messaging;
    private final Ec ec;

    Resumption(Transients ram, Lifecycle life, Records records, UseCounter counter, Slots slots,
        SecureMessaging messaging, Ec ec) {
        this.ram = ram;
        this.life = life;
        this.records = records;
        this.counter = counter;
        this.slots = slots;
        this.messaging = messaging;
        this.ec = ec;
    }

    /**
      * RESUME. Without a slot for this terminal, the token performs the same operations with a decoy key that nobody
      * knows, so that a terminal without a key learns nothing, not even whether the token is blocked.
      *
      * PRE-CONDITION: directly after SELECT; the dispatcher ensures this. The caller wipes the session on any
      * rejection.
     */
    short resume(short length) {
        life.requireInUse();
        Tlv.require(ram.tag() == 0);
        if (length != COMMAND) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }

        // EXECUTION STEPS
        // 1. The key of the slot or of the decoy, and the card's nonce.
        byte[] b = ram.buffer;
        byte slot = slots.find(b, (short) 0);
        slots.readKey(slot, b, RESUMPTION_KEY);
        Util.arrayCopyNonAtomic(b, Slots.TID, b, TERMINAL_NONCE, NONCE);
        ec.random(b, CARD_NONCE, NONCE);
        Util.arrayCopyNonAtomic(ram.selected, (short) 1, b, SELECT_ANSWER, ram.selected[0]);

        // 2. The session keys from both nonces; the cryptogram also covers what SELECT answered.
        Cmac mac = messaging.macUnder(b, RESUMPTION_KEY);
        derive(mac, S_ENC, SELECT_ANSWER, KEYS);
        derive(mac, S_MAC, SELECT_ANSWER, (short) (KEYS + Constants.KEY));
        derive(mac, S_RMAC, SELECT_ANSWER, (short) (KEYS + 2 * Constants.KEY));
        derive(mac, CRYPTOGRAM, (short) (SELECT_ANSWER + ram.selected[0]), CHAIN);
        messaging.load(b, KEYS);
        Util.arrayCopyNonAtomic(b, CHAIN, ram.session, Transients.MAC_CHAIN, Constants.BLOCK);
        ram.session[Transients.SLOT] = slot;
        ram.session[Transients.PHASE] = Transients.RESUMED;

        // 3. The answer; everything else is cleared from the buffer.
        Util.arrayCopyNonAtomic(b, CARD_NONCE, b, (short) 0, NONCE);
        Util.arrayCopyNonAtomic(b, CHAIN, b, NONCE, Constants.MAC);
        Util.arrayFillNonAtomic(b, ANSWER, (short) (END - ANSWER), (byte) 0);
        return ANSWER;
    }

    /** Amendment D, 4.1.5: the context is what follows the label, up to {@code end}. */
    private void derive(Cmac mac, byte constant, short end, short to) {
        Cmac.putLabel(ram.buffer, LABEL, constant, KEY_BITS);
        mac.sign(ram.buffer, LABEL, end, ram.buffer, to);
    }

    /** Whether this session uses the decoy key, in which case no C-MAC is accepted. */
    boolean isDecoy() {
        return Slots.isDecoy(ram.session[Transients.SLOT]);
    }

    /**
      * Checks the first command with a valid C-MAC: returns a status word, 0 when presence may be answered.
     *
     * @param length of its plain data
     */
    short admit(short length) {
        if (ram.transport[Transients.INS] != Constants.INS_INTERNAL_AUTHENTICATE || ram.tag() != PRESENCE) {
            return Constants.SW_CONDITIONS;
        }
        if (length != 0) {
            return Constants.SW_WRONG_LENGTH;
        }
        byte slot = ram.session[Transients.SLOT];
        records.date.readAll(ram.session, Transients.DATE);
        if (life.state() != Constants.ISSUED || slots.isExpired(slot, ram.session, Transients.DATE)) {
            slots.clear(slot);
            return Constants.SW_CONDITIONS;
        }
        return 0;
    }

    /** Presence: takes the use before answering. From here on the role is READ, whatever the certificate granted. */
    short presence() {
        byte[] b = ram.buffer;
        byte left = slots.use(ram.session[Transients.SLOT]);
        ram.session[Transients.ROLE] = Transients.READ;
        ram.session[Transients.PHASE] = Transients.CHANNEL;
        b[0] = (byte) 0x83;
        b[1] = (byte) Constants.TOKEN_ID;
        short end = records.readTokenId(b, (short) 2);
        b[end++] = (byte) 0x80;
        b[end++] = 4;
        counter.read(b, end);
        end = (short) (end + 4);
        b[end++] = (byte) 0x88;
        b[end++] = 1;
        b[end++] = left;
        b[end++] = 0x53;
        b[end++] = (byte) Constants.RECORD;
        return records.readRecord(b, end);
    }
}
