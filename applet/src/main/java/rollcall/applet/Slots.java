package rollcall.applet;

import javacard.framework.Util;

/**
 * Keys of channels that this token proved itself in: with one of them a terminal resumes, as often as its slot says. A
 * slot is `tid(8) || K(16) || uses left(1) || notAfter(12)`, and is filled if there are uses left. That byte is written
 * last when a slot is filled and first when it is cleared, so a torn write leaves the former slot or an empty one.
 *
 * Specification: docs/protocol.md, "The fast tap".
 */
final class Slots {

    static final short TID = 8;
    /** How often one key serves. */
    static final byte USES_OF_A_KEY = 64;
    private static final byte COUNT = 8;
    private static final byte LAST = COUNT - 1;
    /** The slots lie in different memory pages: a page that a tear spoils takes no other slot with it. */
    private static final short DISTANCE = 128;

    // Offsets in a slot.
    private static final short KEY = 8;
    private static final short USES = 24;
    private static final short NOT_AFTER = 25;
    private static final short SLOT = 37;

    /** Behind the slots: a key that nobody knows, where a slot has its key, and whether it is there. */
    private static final short DECOY = (short) (COUNT * DISTANCE);
    /** The slot that is filled next, in the page of the decoy. */
    private static final short TURN = (short) (DECOY + SLOT);

    private final Persistent store;
    private final byte[] slots;

    Slots(Persistent store) {
        this.store = store;
        slots = new byte[(short) ((COUNT + 1) * DISTANCE)];
    }

    /** Makes the decoy if it is not there yet. {@code scratch} is left with zeros. */
    void grow(Ec ec, byte[] scratch) {
        if (slots[(short) (DECOY + USES)] != 0) {
            return;
        }
        ec.random(scratch, (short) 0, Constants.KEY);
        store.copy(scratch, (short) 0, slots, (short) (DECOY + KEY), Constants.KEY);
        Util.arrayFillNonAtomic(scratch, (short) 0, Constants.KEY, (byte) 0);
        store.put(slots, (short) (DECOY + USES), (byte) 1);
    }

    /** The slot of this terminal, or the decoy's place: all are compared in either case. */
    short find(byte[] tid, short offset) {
        short found = DECOY;
        for (short at = 0; at < DECOY; at = (short) (at + DISTANCE)) {
            found = isOf(at, tid, offset) ? at : found;
        }
        return found;
    }

    private boolean isOf(short at, byte[] tid, short offset) {
        return SecureMessaging.equal(slots, at, tid, offset, TID) & slots[(short) (at + USES)] != 0;
    }

    static boolean isFilled(short at) {
        return at != DECOY;
    }

    void readKey(short at, byte[] to, short offset) {
        Util.arrayCopyNonAtomic(slots, (short) (at + KEY), to, offset, Constants.KEY);
    }

    /** Whether the terminal's certificate ended before this date. */
    boolean isExpired(short at, byte[] date, short offset) {
        return Order.compare(slots, (short) (at + NOT_AFTER), date, offset, Constants.DATE) < 0;
    }

    /** Takes one use and returns how many are left. The last one clears the slot. */
    byte use(short at) {
        byte left = (byte) (slots[(short) (at + USES)] - 1);
        if (left == 0) {
            clear(at);
        } else {
            store.put(slots, (short) (at + USES), left);
        }
        return left;
    }

    /** Fills the next slot in turn from `tid || K || 00 || notAfter`; the key that this terminal had is gone. */
    void fill(byte[] from, short offset) {
        for (short at = 0; at < DECOY; at = (short) (at + DISTANCE)) {
            if (isOf(at, from, offset)) {
                clear(at);
            }
        }
        short turn = (short) (slots[TURN] & LAST);
        short at = (short) (turn * DISTANCE);
        clear(at);
        store.put(slots, TURN, (byte) ((turn + 1) & LAST));
        store.copy(from, offset, slots, at, SLOT);
        store.put(slots, (short) (at + USES), USES_OF_A_KEY);
    }

    /** Clears every slot, where there is anything to clear. */
    void clear() {
        for (short at = 0; at < DECOY; at = (short) (at + DISTANCE)) {
            clear(at);
        }
    }

    /** Also what a torn write has left. */
    void clear(short at) {
        if (slots[(short) (at + USES)] != 0) {
            store.put(slots, (short) (at + USES), (byte) 0);
        }
        byte rest = 0;
        for (short i = at; i < (short) (at + SLOT); i++) {
            rest |= slots[i];
        }
        if (rest != 0) {
            store.zero(slots, at, SLOT);
        }
    }

    /** For a token that is TERMINATED: the decoy goes too. */
    void destroy() {
        clear();
        clear(DECOY);
    }
}
