package rollcall.applet;

/** The order of byte strings. Util.arrayCompare is for equality only: cards do not agree on the sign of a byte. */
final class Order {

    private Order() {
    }

    /** Below 0, 0 or above 0, as the bytes at {@code one} come before, equal or follow those at {@code other}. */
    static short compare(byte[] a, short one, byte[] b, short other, short length) {
        for (short i = 0; i < length; i++) {
            short difference = (short) ((a[(short) (one + i)] & 0xFF) - (b[(short) (other + i)] & 0xFF));
            if (difference != 0) {
                return difference;
            }
        }
        return 0;
    }
}
