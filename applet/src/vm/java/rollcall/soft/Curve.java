package rollcall.soft;

/** Point arithmetic on P-256: Jacobian coordinates, double and add. */
final class Curve {

    private Curve() {
    }

    static short[] B;
    static short[] GX;
    static short[] GY;
    static short[] ONE;

    // Offsets in the work array.
    private static final short L = Field.L;
    /** The accumulator. */
    static final short X = Field.FREE;
    static final short Y = (short) (X + L);
    static final short Z = (short) (Y + L);
    /** Two affine points and their sum. */
    static final short X1 = (short) (Z + L);
    static final short Y1 = (short) (X1 + L);
    static final short X2 = (short) (Y1 + L);
    static final short Y2 = (short) (X2 + L);
    static final short X3 = (short) (Y2 + L);
    static final short Y3 = (short) (X3 + L);
    /** The scalars. */
    static final short K1 = (short) (Y3 + L);
    static final short K2 = (short) (K1 + L);
    static final short T = (short) (K2 + L);
    private static final short U = (short) (T + L);
    private static final short V = (short) (U + L);
    private static final short S = (short) (V + L);
    static final short SIZE = (short) (S + L);

    private static void add(short[] w, short r, short a, short b) {
        Field.add(w, r, a, b, Field.P);
    }

    private static void sub(short[] w, short r, short a, short b) {
        Field.sub(w, r, a, b, Field.P);
    }

    static void base(short[] w, short x, short y) {
        Field.load(w, x, GX);
        Field.load(w, y, GY);
    }

    /** Loads an uncompressed point and returns whether it is on the curve. */
    static boolean take(short[] w, byte[] b, short offset, short x, short y) {
        if (b[offset] != 4) {
            return false;
        }
        Field.fromBytes(b, (short) (offset + 1), w, x);
        Field.fromBytes(b, (short) (offset + 33), w, y);
        if (!Field.isBelow(w, x, Field.P) || !Field.isBelow(w, y, Field.P)) {
            return false;
        }
        Field.toMontgomery(w, x, T, Field.P);
        Field.toMontgomery(w, y, T, Field.P);
        // y^2 = x^3 - 3 x + b
        Field.mul(w, U, x, x);
        Field.mul(w, U, U, x);
        sub(w, U, U, x);
        sub(w, U, U, x);
        sub(w, U, U, x);
        Field.load(w, V, B);
        add(w, U, U, V);
        Field.mul(w, V, y, y);
        return Field.equal(w, U, V);
    }

    private static void doubleIt(short[] w) {
        Field.mul(w, T, Z, Z); // delta
        Field.mul(w, U, Y, Y); // gamma
        Field.mul(w, V, X, U); // beta
        sub(w, S, X, T);
        add(w, X, X, T);
        Field.mul(w, S, S, X);
        add(w, X, S, S);
        add(w, S, X, S); // alpha
        add(w, Z, Y, Z);
        Field.mul(w, Z, Z, Z);
        sub(w, Z, Z, U);
        sub(w, Z, Z, T);
        add(w, V, V, V);
        add(w, V, V, V); // 4 beta
        Field.mul(w, X, S, S);
        sub(w, X, X, V);
        sub(w, X, X, V);
        sub(w, V, V, X);
        Field.mul(w, Y, S, V);
        Field.mul(w, U, U, U);
        add(w, U, U, U);
        add(w, U, U, U);
        add(w, U, U, U); // 8 gamma^2
        sub(w, Y, Y, U);
    }

    /** Adds an affine point to the accumulator. Z = 0 is the point at infinity. */
    private static void addAffine(short[] w, short x, short y) {
        if (Field.isZero(w, Z)) {
            Field.copy(w, X, x);
            Field.copy(w, Y, y);
            Field.load(w, Z, ONE);
            return;
        }
        Field.mul(w, T, Z, Z);
        Field.mul(w, U, x, T);
        sub(w, U, U, X); // H
        Field.mul(w, T, T, Z);
        Field.mul(w, T, T, y);
        sub(w, T, T, Y); // R
        if (Field.isZero(w, U)) {
            if (Field.isZero(w, T)) {
                doubleIt(w);
            } else {
                Field.zero(w, Z);
            }
            return;
        }
        Field.mul(w, Z, Z, U);
        Field.mul(w, V, U, U); // HH
        Field.mul(w, S, X, V); // V
        Field.mul(w, V, V, U); // HHH
        Field.mul(w, X, T, T);
        sub(w, X, X, V);
        sub(w, X, X, S);
        sub(w, X, X, S);
        sub(w, S, S, X);
        Field.mul(w, T, T, S);
        Field.mul(w, V, V, Y);
        sub(w, Y, T, V);
    }

    /** Makes X and Y of the accumulator affine, in Montgomery form; false at infinity. */
    static boolean toAffine(short[] w) {
        if (Field.isZero(w, Z)) {
            return false;
        }
        Field.invert(w, S, Z, Field.P);
        Field.mul(w, V, S, S);
        Field.mul(w, X, X, V);
        Field.mul(w, V, V, S);
        Field.mul(w, Y, Y, V);
        return true;
    }

    private static boolean bit(short[] w, short k, short i) {
        return ((w[(short) (k + i / 15)] >> (short) (i % 15)) & 1) != 0;
    }

    /** K1 times (X1, Y1) into the accumulator. */
    static void multiply(short[] w) {
        Field.zero(w, Z);
        for (short i = 255; i >= 0; i--) {
            doubleIt(w);
            if (bit(w, K1, i)) {
                addAffine(w, X1, Y1);
            }
        }
    }

    /** K1 times (X1, Y1) plus K2 times (X2, Y2). */
    static void multiplyTwo(short[] w) {
        Field.zero(w, Z);
        addAffine(w, X1, Y1);
        addAffine(w, X2, Y2);
        boolean sum = toAffine(w);
        Field.copy(w, X3, X);
        Field.copy(w, Y3, Y);
        Field.zero(w, Z);
        for (short i = 255; i >= 0; i--) {
            doubleIt(w);
            boolean one = bit(w, K1, i);
            boolean two = bit(w, K2, i);
            if (one && two) {
                if (sum) {
                    addAffine(w, X3, Y3);
                }
            } else if (one) {
                addAffine(w, X1, Y1);
            } else if (two) {
                addAffine(w, X2, Y2);
            }
        }
    }

    /** Writes the accumulator, which must be affine, as 04 x y. */
    static void give(short[] w, byte[] b, short offset) {
        Field.fromMontgomery(w, X, T, Field.P);
        Field.fromMontgomery(w, Y, T, Field.P);
        b[offset] = 4;
        Field.toBytes(w, X, b, (short) (offset + 1));
        Field.toBytes(w, Y, b, (short) (offset + 33));
    }

    /** A library package must not own arrays, so the first applet creates them. */
    static void init() {
        if (B != null) {
            return;
        }
        B = new short[] {
        0x770C, 0x5EEF, 0x29C4, 0x3EC4, 0x6273, 0x0486, 0x4543, 0x3993, 0x3C01, 0x6B56, 0x212E, 0x57EE, 0x4882, 0x204B,
        0x7483, 0x3C16, 0x0187, 0x0000
    };
        GX = new short[] {
        0x0624, 0x0A1E, 0x18A9, 0x61A8, 0x679C, 0x300B, 0x75DB, 0x3F88, 0x6EA5, 0x083A, 0x6225, 0x56EE, 0x2DCC, 0x330B,
        0x755C, 0x57B8, 0x17DD, 0x0000
    };
        GY = new short[] {
        0x215C, 0x2B05, 0x4E95, 0x26AF, 0x77C9, 0x22E6, 0x4A9E, 0x1C86, 0x52AE, 0x12C5, 0x21F3, 0x11BA, 0x621A, 0x2A6B,
        0x05D8, 0x155F, 0x7FC6, 0x0000
    };
        ONE = new short[] {
        0x4000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x7FE0, 0x7FFF, 0x7FFF, 0x7FFF, 0x7FFF, 0x7FFF, 0x77FF,
        0x7FFF, 0x1FFF, 0x0000, 0x0000
    };
    }
}
