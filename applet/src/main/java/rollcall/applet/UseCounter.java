package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * The use counter: 16 slots written in turn, each holding the counter and its complement. The value is that of the
  * highest intact slot, so a torn write leaves the former value, and each cell is written only every sixteenth use.
 *
 * Specification: docs/protocol.md, "Card constraints".
 */
final class UseCounter {

    private static final short SLOTS = 16;
    /** Puts each slot in a different memory page: a page spoiled by a tear affects no other slot. */
    private static final short DISTANCE = 128;
    private static final short VALUE = 4;
    private static final short SLOT = 8;
    /** The low half of 65535. A token's first value is 65536, from which on four bytes are the shortest CBOR form. */
    private static final short BEFORE_FIRST = (short) 0xFFFF;

    private final Persistent store;
    private final byte[] slots;

    UseCounter(Persistent store) {
        this.store = store;
        slots = new byte[(short) ((SLOTS - 1) * DISTANCE + SLOT)];
    }

    /** Stores the next value, and leaves it at {@code to}, where 8 bytes must be free. */
    void next(byte[] to, short offset) {
        short highest = read(to, offset);
        increment(to, offset);
        for (short i = 0; i < VALUE; i++) {
            to[(short) (offset + VALUE + i)] = (byte) ~to[(short) (offset + i)];
        }
        short next = (short) (highest + DISTANCE);
        store.copy(to, offset, slots, highest < 0 || next > (short) slots.length ? 0 : next, SLOT);
    }

    /** Writes the value of the last use to {@code to} and returns the offset of its slot, -1 when there was none. */
    short read(byte[] to, short offset) {
        short highest = highest();
        if (highest < 0) {
            Util.setShort(to, offset, (short) 0);
            Util.setShort(to, (short) (offset + 2), BEFORE_FIRST);
        } else {
            Util.arrayCopyNonAtomic(slots, highest, to, offset, VALUE);
        }
        return highest;
    }

    void clear() {
        store.zero(slots);
    }

    private static void increment(byte[] value, short offset) {
        for (short i = (short) (offset + VALUE - 1); i >= offset; i--) {
            value[i]++;
            if (value[i] != 0) {
                return;
            }
        }
        // It never wraps to 0: once FFFFFFFF is reached the token signs no more.
        ISOException.throwIt(Constants.SW_CONDITIONS);
    }

    /** The offset of the slot with the highest value, -1 when no slot is intact. */
    private short highest() {
        short best = -1;
        for (short at = 0; at < (short) slots.length; at = (short) (at + DISTANCE)) {
            if (isWhole(at) && (best < 0 || Order.compare(slots, at, slots, best, VALUE) > 0)) {
                best = at;
            }
        }
        return best;
    }

    private boolean isWhole(short at) {
        for (short i = 0; i < VALUE; i++) {
            if ((byte) ~slots[(short) (at + i)] != slots[(short) (at + VALUE + i)]) {
                return false;
            }
        }
        return true;
    }
}
