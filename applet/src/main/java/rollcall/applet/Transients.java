package rollcall.applet;

import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
  * All state in RAM, cleared by a deselect or reset. None of it needs to survive: a card that was removed starts over
  * at SELECT.
 */
final class Transients {

    /**
     * Size of the buffer that holds the command, reassembled and then decrypted, and later the answer. Longer commands
     * are rejected.
     */
    static final short BUFFER = 512;

    // Session phases. A role is valid in CHANNEL only, that is, from the first valid C-MAC on.
    static final byte SELECTED = 0;
    static final byte CERTIFICATE_SEEN = 1;
    static final byte KEYS_AGREED = 2;
    static final byte CHANNEL = 3;
    /** SCP03, between INITIALIZE UPDATE and EXTERNAL AUTHENTICATE. */
    static final byte INITIALIZED = 4;
    /** The keys of a resumed channel are set; only presence may follow. */
    static final byte RESUMED = 5;

    // Roles. The first three are ordered: each includes the lower ones. PERSONALISATION, held under SCP03, stands
    // apart.
    static final byte READ = 1;
    static final byte WRITE = 2;
    static final byte ADMIN = 3;
    static final byte PERSONALISATION = 4;

    // Offsets in `session`.
    static final short PHASE = 0;
    static final short ROLE = 1;
    /** Second byte of the tag of the object being put in parts, 0 when there is none. */
    static final short PART_TAG = 2;
    /** Where the next part must begin. */
    static final short PART_NEXT = 3;
    static final short COUNTER = 5;
    static final short MAC_CHAIN = 21;
    static final short DEK = 37;
    static final short SCRATCH = 53;
    static final short TERMINAL_POINT = 69;
    /** notBefore and notAfter of the terminal certificate, 12 digits each. */
    static final short NOT_BEFORE = 134;
    static final short NOT_AFTER = 146;
    /** The hash of the terminal certificate, later the channel binding; under SCP03 the expected host cryptogram. */
    static final short BINDING = 158;
    /** Working space of 12 digits for the date. */
    static final short DATE = 190;
    /** K from the handshake, with which this terminal may resume. */
    static final short RESUMPTION_KEY = 202;
    /** The number of the slot this session resumed from, 0 in any other session. */
    static final short SLOT = 218;
    private static final short SESSION = 219;

    // Offsets in `transport`. The header is kept without the chaining bits, as it enters the C-MAC.
    static final short HEADER = 0;
    static final short INS = 1;
    static final short P1 = 2;
    static final short P2 = 3;
    static final short CHAIN_HEADER = 4;
    static final short CHAINED = 8;
    static final short CHAIN_OPEN = 9;
    static final short EXTENDED = 10;
    private static final short TRANSPORT = 11;

    // Indices in `lengths`.
    static final short RECEIVED = 0;
    static final short ANSWER_NEXT = 1;
    static final short ANSWER_LEFT = 2;
    private static final short LENGTHS = 3;

    /** The longest SELECT answer: the one with a token id, which excludes the set id. */
    private static final short SELECT_ANSWER = 60;

    final byte[] buffer;
    final byte[] session;
    final byte[] transport;
    final short[] lengths;
    /** The SELECT answer as sent, preceded by its length; part of the channel binding. */
    final byte[] selected;

    Transients() {
        buffer = JCSystem.makeTransientByteArray(BUFFER, JCSystem.CLEAR_ON_DESELECT);
        session = JCSystem.makeTransientByteArray(SESSION, JCSystem.CLEAR_ON_DESELECT);
        transport = JCSystem.makeTransientByteArray(TRANSPORT, JCSystem.CLEAR_ON_DESELECT);
        lengths = JCSystem.makeTransientShortArray(LENGTHS, JCSystem.CLEAR_ON_DESELECT);
        selected = JCSystem.makeTransientByteArray(SELECT_ANSWER, JCSystem.CLEAR_ON_DESELECT);
    }

    byte phase() {
        return session[PHASE];
    }

    byte role() {
        return session[ROLE];
    }

    short tag() {
        return Util.getShort(transport, P1);
    }

    boolean inChannel() {
        return session[PHASE] == CHANNEL;
    }

    boolean isResumed() {
        return session[SLOT] != 0;
    }

    void clearBuffer() {
        Util.arrayFillNonAtomic(buffer, (short) 0, BUFFER, (byte) 0);
    }

    void clearSession() {
        Util.arrayFillNonAtomic(session, (short) 0, SESSION, (byte) 0);
    }
}
