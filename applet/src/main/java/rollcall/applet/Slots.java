package rollcall.applet;

import javacard.framework.Util;

/**
 * Keys of channels that this token proved itself in: with one of them a terminal resumes, as often as its slot says. A
 * slot is `tid(8) || K(16) || uses left(1) || notAfter(12)`, and is filled if 1 to 64 uses are left. That byte is written
 * last when a slot is filled and first when it is cleared, so a torn write leaves the former slot or an empty one; and a
 * page that a tear spoils holds neither 00 nor FF as a number of uses that counts.
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

    /** The number behind those of the slots, which begin with 1. */
    private static final byte DECOY = COUNT + 1;
    private static final short END = (short) (LAST * DISTANCE + SLOT);

    // Offsets in `decoy`: behind a key that nobody knows.
    private static final short IS_MADE = 16;
    /** The slot that is filled next. */
    private static final short TURN = 17;

    private final Persistent store;
    private final byte[] slots;
    private final byte[] decoy;

    Slots(Persistent store) {
        this.store = store;
        slots = new byte[END];
        decoy = new byte[(short) (TURN + 1)];
    }

    /** Makes the decoy if it is not there yet. {@code scratch} is left with zeros. */
    void grow(Ec ec, byte[] scratch) {
        if (decoy[IS_MADE] != 0) {
            return;
        }
        ec.random(scratch, (short) 0, Constants.KEY);
        store.copy(scratch, (short) 0, decoy, (short) 0, Constants.KEY);
        Util.arrayFillNonAtomic(scratch, (short) 0, Constants.KEY, (byte) 0);
        store.put(decoy, IS_MADE, (byte) 1);
    }

    /** The number of this terminal's slot, or of the decoy: all are compared in either case. */
    byte find(byte[] tid, short offset) {
        byte found = DECOY;
        for (byte number = 1; number <= COUNT; number++) {
            found = isOf(at(number), tid, offset) ? number : found;
        }
        return found;
    }

    private static short at(byte number) {
        return (short) ((number - 1) * DISTANCE);
    }

    private boolean isOf(short at, byte[] tid, short offset) {
        byte uses = slots[(short) (at + USES)];
        return SecureMessaging.equal(slots, at, tid, offset, TID) & uses > 0 & uses <= USES_OF_A_KEY;
    }

    /** Whether it is no slot: under that key nobody gets a channel. */
    static boolean isDecoy(byte number) {
        return number == DECOY;
    }

    void readKey(byte number, byte[] to, short offset) {
        short key = (short) (at(number) + KEY);
        Util.arrayCopyNonAtomic(
            number == DECOY ? decoy : slots, number == DECOY ? 0 : key, to, offset, Constants.KEY);
    }

    /** Whether the terminal's certificate ended before this date. */
    boolean isExpired(byte number, byte[] date, short offset) {
        return Order.compare(slots, (short) (at(number) + NOT_AFTER), date, offset, Constants.DATE) < 0;
    }

    /** Takes one use and returns how many are left. The last one clears the slot. */
    byte use(byte number) {
        short uses = (short) (at(number) + USES);
        byte left = (byte) (slots[uses] - 1);
        if (left == 0) {
            clear(number);
        } else {
            store.put(slots, uses, left);
        }
        return left;
    }

    /** Fills the next slot in turn from `tid || K || 00 || notAfter`; the key that this terminal had is gone. */
    void fill(byte[] from, short offset) {
        for (short at = 0; at < END; at = (short) (at + DISTANCE)) {
            if (isOf(at, from, offset)) {
                clearAt(at);
            }
        }
        short turn = (short) (decoy[TURN] & LAST);
        short at = (short) (turn * DISTANCE);
        clearAt(at);
        store.put(decoy, TURN, (byte) ((turn + 1) & LAST));
        // In two parts: the byte between them is written once, and last.
        store.copy(from, offset, slots, at, USES);
        store.copy(from, (short) (offset + NOT_AFTER), slots, (short) (at + NOT_AFTER), Constants.DATE);
        store.put(slots, (short) (at + USES), USES_OF_A_KEY);
    }

    /** Clears every slot, where there is anything to clear. */
    void clear() {
        for (short at = 0; at < END; at = (short) (at + DISTANCE)) {
            clearAt(at);
        }
    }

    void clear(byte number) {
        clearAt(at(number));
    }

    /** Also what a torn write has left. */
    private void clearAt(short at) {
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
        store.zero(decoy);
    }
}
