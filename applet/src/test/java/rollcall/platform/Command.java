package rollcall.platform;

import java.util.Arrays;

/**
  * A parsed command APDU (ISO/IEC 7816-3, 12.1.3).
 *
  * @param header CLA, INS, P1, P2 and the byte after them, 0 if there is none
  * @param le the expected length of the answer: -1 if not given, 0 for the maximum
 */
record Command(byte[] header, byte[] data, int le, boolean isExtended) {

    static final int NO_LE = -1;
    private static final int HEADER = 4;
    private static final int SHORT_DATA = 5;
    private static final int EXTENDED_DATA = 7;

    /** Null when the lengths do not add up. */
    static Command of(byte[] c) {
        if (c.length < HEADER) {
            return null;
        }
        byte[] header = Arrays.copyOf(c, SHORT_DATA);
        if (c.length <= SHORT_DATA) {
            return new Command(header, new byte[0], c.length == HEADER ? NO_LE : u8(c, HEADER), false);
        }
        boolean isExtended = c[HEADER] == 0;
        if (isExtended && c.length < EXTENDED_DATA) {
            return null;
        }
        if (isExtended && c.length == EXTENDED_DATA) {
            return new Command(header, new byte[0], u16(c, SHORT_DATA), true);
        }
        int start = isExtended ? EXTENDED_DATA : SHORT_DATA;
        int lc = isExtended ? u16(c, SHORT_DATA) : u8(c, HEADER);
        int left = c.length - start - lc;
        boolean hasLe = left == (isExtended ? 2 : 1);
        if (lc == 0 || !hasLe && left != 0) {
            return null;
        }
        int le = !hasLe ? NO_LE : isExtended ? u16(c, start + lc) : u8(c, start + lc);
        return new Command(header, Arrays.copyOfRange(c, start, start + lc), le, isExtended);
    }

    private static int u8(byte[] b, int at) {
        return b[at] & 0xFF;
    }

    private static int u16(byte[] b, int at) {
        return u8(b, at) << 8 | u8(b, at + 1);
    }

    int cla() {
        return u8(header, 0);
    }

    int ins() {
        return u8(header, 1);
    }

    int p1() {
        return u8(header, 2);
    }

    int p2() {
        return u8(header, 3);
    }
}
