package rollcall.soft;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacard.security.MessageDigest;
import javacard.security.RandomData;
import javacard.security.Signature;

final class SoftEcdsa extends Signature {

    private final MessageDigest sha;
    private final RandomData random;
    private final Object[] key;
    /** The digest, r, s. */
    private final byte[] b;

    SoftEcdsa() {
        sha = Platform.sha256();
        random = Platform.randomData(RandomData.ALG_SECURE_RANDOM);
        key = JCSystem.makeTransientObjectArray((short) 1, JCSystem.CLEAR_ON_RESET);
        b = JCSystem.makeTransientByteArray((short) 96, JCSystem.CLEAR_ON_RESET);
        Platform.work();
    }

    public void init(Key k, byte mode) {
        if (!k.isInitialized()) {
            CryptoException.throwIt(CryptoException.UNINITIALIZED_KEY);
        }
        key[0] = k;
        sha.reset();
    }

    public void init(Key k, byte mode, byte[] x, short o, short n) {
        CryptoException.throwIt(CryptoException.ILLEGAL_VALUE);
    }

    public void setInitialDigest(byte[] a, short o, short n, byte[] c, short p, short q) {
        CryptoException.throwIt(CryptoException.ILLEGAL_USE);
    }

    public byte getAlgorithm() {
        return ALG_ECDSA_SHA_256;
    }

    public byte getMessageDigestAlgorithm() {
        return MessageDigest.ALG_SHA_256;
    }

    public byte getCipherAlgorithm() {
        return SIG_CIPHER_ECDSA;
    }

    public byte getPaddingAlgorithm() {
        return 0;
    }

    public short getLength() {
        return 72;
    }

    public void update(byte[] x, short o, short n) {
        sha.update(x, o, n);
    }

    public short signPreComputedHash(byte[] x, short o, short n, byte[] to, short at) {
        CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        return 0;
    }

    public boolean verifyPreComputedHash(byte[] x, short o, short n, byte[] s, short so, short sn) {
        CryptoException.throwIt(CryptoException.ILLEGAL_USE);
        return false;
    }

    public short sign(byte[] x, short o, short n, byte[] to, short at) {
        sha.doFinal(x, o, n, b, (short) 0);
        short[] w = Platform.work();
        do {
            random.generateData(b, (short) 32, (short) 32);
            Field.fromBytes(b, (short) 32, w, Curve.K1);
        } while (Field.isZero(w, Curve.K1) || !Field.isBelow(w, Curve.K1, Field.N));
        Curve.base(w, Curve.X1, Curve.Y1);
        Curve.multiply(w);
        Curve.toAffine(w);
        Field.fromMontgomery(w, Curve.X, Curve.T, Field.P);
        // x mod n: at most one subtraction, done by converting to Montgomery form and back.
        Field.toMontgomery(w, Curve.X, Curve.T, Field.N); // r R
        Field.copy(w, Curve.X2, Curve.X);
        Field.fromMontgomery(w, Curve.X2, Curve.T, Field.N); // r
        Field.toBytes(w, Curve.X2, b, (short) 32);
        Field.fromBytes(((SoftKey) key[0]).data, (short) 0, w, Curve.K2);
        Field.toMontgomery(w, Curve.K2, Curve.T, Field.N);
        Field.mulN(w, Curve.X, Curve.X, Curve.K2); // r d R
        Field.fromBytes(b, (short) 0, w, Curve.Y2);
        Field.toMontgomery(w, Curve.Y2, Curve.T, Field.N); // z R
        Field.add(w, Curve.X, Curve.X, Curve.Y2, Field.N);
        Field.toMontgomery(w, Curve.K1, Curve.T, Field.N);
        Field.invert(w, Curve.Y2, Curve.K1, Field.N);
        Field.mulN(w, Curve.X, Curve.X, Curve.Y2);
        Field.fromMontgomery(w, Curve.X, Curve.T, Field.N);
        Field.toBytes(w, Curve.X, b, (short) 64);
        short end = integer((short) 32, to, (short) (at + 2));
        end = integer((short) 64, to, end);
        to[at] = 0x30;
        to[(short) (at + 1)] = (byte) (end - at - 2);
        return (short) (end - at);
    }

    private short integer(short from, byte[] to, short at) {
        short n = 32;
        while (n > 1 && b[from] == 0) {
            from++;
            n--;
        }
        to[at++] = 2;
        boolean sign = b[from] < 0;
        to[at++] = (byte) (sign ? n + 1 : n);
        if (sign) {
            to[at++] = 0;
        }
        return Util.arrayCopyNonAtomic(b, from, to, at, n);
    }

    /** Reads a DER INTEGER into 32 bytes; returns the offset after it, or -1. */
    private short take(byte[] s, short p, short end, short to) {
        if ((short) (p + 2) > end || s[p] != 2) {
            return -1;
        }
        short n = s[(short) (p + 1)];
        p += 2;
        if (n <= 0 || (short) (p + n) > end || s[p] < 0) {
            return -1;
        }
        if (n > 1 && s[p] == 0) {
            p++;
            n--;
            if (s[p] >= 0) {
                return -1;
            }
        }
        if (n > 32) {
            return -1;
        }
        Util.arrayFillNonAtomic(b, to, (short) 32, (byte) 0);
        return (short) (Util.arrayCopyNonAtomic(s, p, b, (short) (to + 32 - n), n) - to - 32 + p + n);
    }

    public boolean verify(byte[] x, short o, short n, byte[] s, short so, short sn) {
        sha.doFinal(x, o, n, b, (short) 0);
        short end = (short) (so + sn);
        if (sn < 8 || s[so] != 0x30 || s[(short) (so + 1)] != (byte) (sn - 2)) {
            return false;
        }
        short p = take(s, (short) (so + 2), end, (short) 32);
        if (p < 0 || take(s, p, end, (short) 64) != end) {
            return false;
        }
        short[] w = Platform.work();
        Field.fromBytes(b, (short) 64, w, Curve.Y3); // s
        Field.fromBytes(b, (short) 32, w, Curve.K2); // r
        if (Field.isZero(w, Curve.Y3) || Field.isZero(w, Curve.K2)
            || !Field.isBelow(w, Curve.Y3, Field.N) || !Field.isBelow(w, Curve.K2, Field.N)) {
            return false;
        }
        Field.toMontgomery(w, Curve.Y3, Curve.T, Field.N);
        Field.invert(w, Curve.X3, Curve.Y3, Field.N); // R / s
        Field.fromBytes(b, (short) 0, w, Curve.K1);
        Field.mulN(w, Curve.K1, Curve.K1, Curve.X3); // z / s
        Field.mulN(w, Curve.K2, Curve.K2, Curve.X3); // r / s
        Curve.base(w, Curve.X1, Curve.Y1);
        if (!Curve.take(w, ((SoftKey) key[0]).data, (short) 0, Curve.X2, Curve.Y2)) {
            return false;
        }
        Curve.multiplyTwo(w);
        if (!Curve.toAffine(w)) {
            return false;
        }
        Field.fromMontgomery(w, Curve.X, Curve.T, Field.P);
        Field.toMontgomery(w, Curve.X, Curve.T, Field.N);
        Field.fromMontgomery(w, Curve.X, Curve.T, Field.N);
        Field.fromBytes(b, (short) 32, w, Curve.K2);
        return Field.equal(w, Curve.X, Curve.K2);
    }
}
