package javacard.framework;

import rollcall.platform.StrictCard;

/**
  * Shadows the simulator's class of this name. `arrayCompare` compares signed bytes, as the reference implementation
  * and cards do; the methods the API calls atomic take part in transactions.
 */
public class Util {

    protected Util() {
    }

    public static final short arrayCopy(byte[] from, short fromOffset, byte[] to, short toOffset, short length) {
        check(from, fromOffset, length);
        check(to, toOffset, length);
        StrictCard.conditionalWrite(to, length);
        return arrayCopyNonAtomic(from, fromOffset, to, toOffset, length);
    }

    public static final short arrayCopyNonAtomic(byte[] from, short fromOffset, byte[] to, short toOffset, short length) {
        check(from, fromOffset, length);
        check(to, toOffset, length);
        System.arraycopy(from, fromOffset, to, toOffset, length);
        return (short) (toOffset + length);
    }

    public static final short arrayFill(byte[] to, short offset, short length, byte value) {
        check(to, offset, length);
        StrictCard.conditionalWrite(to, length);
        return arrayFillNonAtomic(to, offset, length, value);
    }

    public static final short arrayFillNonAtomic(byte[] to, short offset, short length, byte value) {
        check(to, offset, length);
        java.util.Arrays.fill(to, offset, offset + length, value);
        return (short) (offset + length);
    }

    /** Orders bytes as signed. */
    public static final byte arrayCompare(byte[] a, short aOffset, byte[] b, short bOffset, short length) {
        check(a, aOffset, length);
        check(b, bOffset, length);
        return (byte) Integer.signum(java.util.Arrays.compare(a, aOffset, aOffset + length, b, bOffset, bOffset + length));
    }

    public static final short makeShort(byte high, byte low) {
        return (short) (high << 8 | low & 0xFF);
    }

    public static final short getShort(byte[] from, short offset) {
        check(from, offset, (short) 2);
        return makeShort(from[offset], from[offset + 1]);
    }

    public static final short setShort(byte[] to, short offset, short value) {
        check(to, offset, (short) 2);
        StrictCard.conditionalWrite(to, (short) 2);
        to[offset] = (byte) (value >> 8);
        to[offset + 1] = (byte) value;
        return (short) (offset + 2);
    }

    private static void check(byte[] array, short offset, short length) {
        if (offset < 0 || length < 0 || offset + length > array.length) {
            throw new ArrayIndexOutOfBoundsException();
        }
    }
}
