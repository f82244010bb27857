package rollcall.applet;

/** Orders byte strings. Util.arrayCompare is used for equality only: cards disagree on whether bytes are signed. */
final class Order {

    private Order() {
    }

    /** Negative, 0 or positive, as the bytes at {@code one} come before, equal or follow those at {@code other}. */
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
