package rollcall.soft;

/**
  * Montgomery arithmetic on 18 limbs of 15 bits (R = 2^270). Elements live in one short array, addressed by offset.
  * Numbers are always below the modulus. Test equipment only: nothing runs in constant time.
 */
final class Field {

    private Field() {
    }

    static final short L = 18;
    /** The first offset after the 20 limbs reserved for the product. */
    static final short FREE = 20;

    static short[] P;
    static short[] N;
    private static final short N0 = 0x3C4F;
    static short[] R2P;
    static short[] R2N;

    /** r = a b / R mod N. r may be a or b. */
    static void mulN(short[] w, short r, short a, short b) {
        for (short j = 0; j <= L; j++) {
            w[j] = 0;
        }
        for (short i = 0; i < L; i++) {
            step(w, w[(short) (a + i)], b);
        }
        reduce(w, r, N);
    }

    /** One row: t = (t + ai b + q m) / 2^15. */
    private static void step(short[] w, int ai, short b) {
        int u = w[0] + ai * w[b];
        int q = ((u & 0x7FFF) * N0) & 0x7FFF;
        u = (u + q * N[0]) >>> 15;
        for (short j = 1; j < L; j++) {
            u += ai * w[(short) (b + j)] + q * N[j] + w[j];
            w[(short) (j - 1)] = (short) (u & 0x7FFF);
            u = u >>> 15;
        }
        u += w[L];
        w[(short) (L - 1)] = (short) (u & 0x7FFF);
        w[L] = (short) (u >>> 15);
    }

    /**
      * r = a b / R mod P. r may be a or b. The rows are unrolled for P = 2^256 - 2^224 + 2^192 + 2^96 - 1, whose n0 is
      * 1, and kept in this one method, because the reference implementation has only 384 bytes of stack.
     */
    static void mul(short[] w, short r, short a, short b) {
        short j;
        int u;
        for (j = 0; j <= L; j++) {
            w[j] = 0;
        }
        for (short end = (short) (a + L); a < end; a++) {
            short at = b;
            int ai = w[a];
            u = w[0] + ai * w[at];
            int q = u & 0x7FFF;
            u = u >> 15;
            j = 1;
            do {
                at++;
                u += ai * w[at] + w[j];
                w[(short) (j - 1)] = (short) (u & 0x7FFF);
                u = u >> 15;
                j++;
            } while (j != 6);
            at++;
            u += ai * w[at] + w[6] + (q << 6);
            w[5] = (short) (u & 0x7FFF);
            u = u >> 15;
            j = 7;
            do {
                at++;
                u += ai * w[at] + w[j];
                w[(short) (j - 1)] = (short) (u & 0x7FFF);
                u = u >> 15;
                j++;
            } while (j != 12);
            at++;
            u += ai * w[at] + w[12] + (q << 12);
            w[11] = (short) (u & 0x7FFF);
            u = u >> 15;
            at++;
            u += ai * w[at] + w[13];
            w[12] = (short) (u & 0x7FFF);
            u = u >> 15;
            at++;
            u += ai * w[at] + w[14] - (q << 14);
            w[13] = (short) (u & 0x7FFF);
            u = u >> 15;
            at++;
            u += ai * w[at] + w[15];
            w[14] = (short) (u & 0x7FFF);
            u = u >> 15;
            at++;
            u += ai * w[at] + w[16];
            w[15] = (short) (u & 0x7FFF);
            u = u >> 15;
            at++;
            u += ai * w[at] + w[17] + (q << 1);
            w[16] = (short) (u & 0x7FFF);
            u = (u >> 15) + w[L];
            w[17] = (short) (u & 0x7FFF);
            w[L] = (short) (u >> 15);
        }
        // Same as reduce().
        u = 0;
        for (j = 0; j < L; j++) {
            u += w[j] - P[j];
            w[(short) (r + j)] = (short) (u & 0x7FFF);
            u = u >> 15;
        }
        if (u + w[L] < 0) {
            for (j = 0; j < L; j++) {
                w[(short) (r + j)] = w[j];
            }
        }
    }

    /** r = the product or sum at offset 0, minus the modulus if it is not below it. */
    private static void reduce(short[] w, short r, short[] m) {
        int borrow = 0;
        for (short j = 0; j < L; j++) {
            borrow += w[j] - m[j];
            w[(short) (r + j)] = (short) (borrow & 0x7FFF);
            borrow = borrow >> 15;
        }
        if (borrow + w[L] < 0) {
            for (short j = 0; j < L; j++) {
                w[(short) (r + j)] = w[j];
            }
        }
    }

    static void add(short[] w, short r, short a, short b, short[] m) {
        int carry = 0;
        for (short j = 0; j < L; j++) {
            carry += w[(short) (a + j)] + w[(short) (b + j)];
            w[j] = (short) (carry & 0x7FFF);
            carry = carry >>> 15;
        }
        w[L] = (short) carry;
        reduce(w, r, m);
    }

    static void sub(short[] w, short r, short a, short b, short[] m) {
        int borrow = 0;
        for (short j = 0; j < L; j++) {
            borrow += w[(short) (a + j)] - w[(short) (b + j)];
            w[j] = (short) (borrow & 0x7FFF);
            borrow = borrow >> 15;
        }
        if (borrow < 0) {
            int carry = 0;
            for (short j = 0; j < L; j++) {
                carry += w[j] + m[j];
                w[j] = (short) (carry & 0x7FFF);
                carry = carry >>> 15;
            }
        }
        for (short j = 0; j < L; j++) {
            w[(short) (r + j)] = w[j];
        }
    }

    static void copy(short[] w, short to, short from) {
        for (short j = 0; j < L; j++) {
            w[(short) (to + j)] = w[(short) (from + j)];
        }
    }

    static void load(short[] w, short to, short[] from) {
        for (short j = 0; j < L; j++) {
            w[(short) (to + j)] = from[j];
        }
    }

    static void zero(short[] w, short to) {
        for (short j = 0; j < L; j++) {
            w[(short) (to + j)] = 0;
        }
    }

    static boolean isZero(short[] w, short a) {
        short any = 0;
        for (short j = 0; j < L; j++) {
            any |= w[(short) (a + j)];
        }
        return any == 0;
    }

    static boolean equal(short[] w, short a, short b) {
        for (short j = 0; j < L; j++) {
            if (w[(short) (a + j)] != w[(short) (b + j)]) {
                return false;
            }
        }
        return true;
    }

    /** a < m, for any 256 bit number. */
    static boolean isBelow(short[] w, short a, short[] m) {
        for (short j = (short) (L - 1); j >= 0; j--) {
            if (w[(short) (a + j)] != m[j]) {
                return w[(short) (a + j)] < m[j];
            }
        }
        return false;
    }

    static void fromBytes(byte[] b, short offset, short[] w, short to) {
        int bits = 0;
        short have = 0;
        short p = (short) (offset + 31);
        for (short j = 0; j < L; j++) {
            while (have < 15 && p >= offset) {
                bits |= (b[p] & 0xFF) << have;
                have += 8;
                p--;
            }
            w[(short) (to + j)] = (short) (bits & 0x7FFF);
            bits = bits >>> 15;
            have -= 15;
        }
    }

    static void toBytes(short[] w, short from, byte[] b, short offset) {
        int bits = 0;
        short have = 0;
        short j = 0;
        for (short p = (short) (offset + 31); p >= offset; p--) {
            if (have < 8) {
                bits |= w[(short) (from + j)] << have;
                have += 15;
                j++;
            }
            b[p] = (byte) bits;
            bits = bits >>> 8;
            have -= 8;
        }
    }

    /** Into Montgomery form; t is 18 free limbs. */
    static void toMontgomery(short[] w, short a, short t, short[] m) {
        load(w, t, m == P ? R2P : R2N);
        if (m == P) {
            mul(w, a, a, t);
        } else {
            mulN(w, a, a, t);
        }
    }

    static void fromMontgomery(short[] w, short a, short t, short[] m) {
        zero(w, t);
        w[t] = 1;
        if (m == P) {
            mul(w, a, a, t);
        } else {
            mulN(w, a, a, t);
        }
    }

    /** r = 1 / a, both in Montgomery form, by a^(m - 2); r is not a. */
    static void invert(short[] w, short r, short a, short[] m) {
        copy(w, r, a);
        for (short bit = 254; bit >= 0; bit--) {
            if (m == P) {
                mul(w, r, r, r);
            } else {
                mulN(w, r, r, r);
            }
            short limb = m[(short) (bit / 15)];
            if (bit < 15) {
                limb -= 2;
            }
            if (((limb >> (short) (bit % 15)) & 1) != 0) {
                if (m == P) {
                    mul(w, r, r, a);
                } else {
                    mulN(w, r, r, a);
                }
            }
        }
    }

    /** A library package must not own arrays, so the first applet creates them. */
    static void init() {
        if (P != null) {
            return;
        }
        P = new short[] {
        0x7FFF, 0x7FFF, 0x7FFF, 0x7FFF, 0x7FFF, 0x7FFF, 0x003F, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x1000, 0x0000,
        0x4000, 0x7FFF, 0x7FFF, 0x0001
    };
        N = new short[] {
        0x2551, 0x78C6, 0x2B0B, 0x1DCE, 0x684F, 0x62F3, 0x2B69, 0x737D, 0x7FBC, 0x7FFF, 0x7FFF, 0x7FFF, 0x0FFF, 0x0000,
        0x4000, 0x7FFF, 0x7FFF, 0x0001
    };
        R2P = new short[] {
        0x0000, 0x6000, 0x0000, 0x0000, 0x0000, 0x0000, 0x7FFC, 0x7FFF, 0x7FBF, 0x7FFF, 0x7FBF, 0x7FFF, 0x7FFF, 0x7FFF,
        0x77FF, 0x7FFF, 0x4FFF, 0x0000
    };
        R2N = new short[] {
        0x2C57, 0x110F, 0x11A5, 0x0BB2, 0x05E0, 0x260F, 0x0AB8, 0x5465, 0x6A9E, 0x320E, 0x1658, 0x35F6, 0x292B, 0x4909,
        0x3F05, 0x541D, 0x55AB, 0x0000
    };
    }
}
