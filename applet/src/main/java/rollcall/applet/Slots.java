package rollcall.applet;

import javacard.framework.Util;

/**
  * Resumption slots: each holds the key of a channel in which this token proved itself, with which the terminal can
  * resume a limited number of times. A slot is `tid(8) || K(16) || uses left(1) || notAfter(12)`, and is in use if 1 to
  * 64 uses are left. That byte is written last when a slot is filled and first when it is cleared, so a torn write
  * leaves the former slot or an empty one; in a memory page spoiled by a tear, neither 00 nor FF is a valid number of
  * uses.
 *
 * Specification: docs/protocol.md, "The fast tap".
 */
final class Slots {

    static final short TID = 8;
    /** How many times one key can be used. */
    static final byte USES_OF_A_KEY = 64;
    private static final byte COUNT = 8;
    private static final byte LAST = COUNT - 1;
    /** Puts each slot in a different memory page: a page spoiled by a tear affects no other slot. */
    private static final short DISTANCE = 128;

    // Offsets in a slot.
    private static final short KEY = 8;
    private static final short USES = 24;
    private static final short NOT_AFTER = 25;
    private static final short SLOT = 37;

    /** The number after those of the slots, which start at 1. */
    private static final byte DECOY = COUNT + 1;
    private static final short END = (short) (LAST * DISTANCE + SLOT);

    // Offsets in `decoy`, after a key that nobody knows.
    private static final short IS_MADE = 16;
    /** The slot to fill next. */
    private static final short TURN = 17;

    private final Persistent store;
    private final byte[] slots;
    private final byte[] decoy;

    Slots(Persistent store) {
        this.store = store;
        slots = new byte[END];
        decoy = new byte[(short) (TURN + 1)];
    }

    /** Creates the decoy if it does not exist yet. Leaves zeros in {@code scratch}. */
    void grow(Ec ec, byte[] scratch) {
        if (decoy[IS_MADE] != 0) {
            return;
        }
        ec.random(scratch, (short) 0, Constants.KEY);
        store.copy(scratch, (short) 0, decoy, (short) 0, Constants.KEY);
        Util.arrayFillNonAtomic(scratch, (short) 0, Constants.KEY, (byte) 0);
        store.put(decoy, IS_MADE, (byte) 1);
    }

    /** The number of this terminal's slot, or of the decoy. All slots are compared either way. */
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

    /** Whether this is the decoy and not a slot: its key never gives a channel. */
    static boolean isDecoy(byte number) {
        return number == DECOY;
    }

    void readKey(byte number, byte[] to, short offset) {
        short key = (short) (at(number) + KEY);
        Util.arrayCopyNonAtomic(
            number == DECOY ? decoy : slots, number == DECOY ? 0 : key, to, offset, Constants.KEY);
    }

    /** Whether the terminal's certificate expired before this date. */
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

    /** Fills the next slot in turn from `tid || K || 00 || notAfter`, and clears the slot this terminal had. */
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
        // In two parts, so that the byte between them is written once, and last.
        store.copy(from, offset, slots, at, USES);
        store.copy(from, (short) (offset + NOT_AFTER), slots, (short) (at + NOT_AFTER), Constants.DATE);
        store.put(slots, (short) (at + USES), USES_OF_A_KEY);
    }

    /** Clears every slot that is not already clear. */
    void clear() {
        for (short at = 0; at < END; at = (short) (at + DISTANCE)) {
            clearAt(at);
        }
    }

    void clear(byte number) {
        clearAt(at(number));
    }

    /** Also clears what a torn write has left behind. */
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

    /** For a TERMINATED token: erases the decoy too. */
    void destroy() {
        clear();
        store.zero(decoy);
    }
}
