package rollcall.soft;

import javacard.framework.JCSystem;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacard.security.KeyAgreement;
import javacard.security.KeyBuilder;
import javacard.security.MessageDigest;
import javacard.security.RandomData;
import javacard.security.Signature;

/**
  * Factories that add P-256 in software to a platform without it; algorithms the platform has are passed through.
  * Oracle's reference implementation lacks P-256, ECDSA with SHA-256, EC_SVDP_DH_PLAIN and ALG_SECURE_RANDOM;
  * scripts/applet-vm substitutes this package, which is never put on a card. Test equipment: nothing in it runs in
  * constant time.
 */
public final class Platform {

    private Platform() {
    }

    /** The work array, shared by all engines; it belongs to the one applet that uses this package. */
    private static short[] work;

    static short[] work() {
        if (work == null) {
            Field.init();
            Curve.init();
            work = JCSystem.makeTransientShortArray(Curve.SIZE, JCSystem.CLEAR_ON_RESET);
        }
        return work;
    }

    public static Key buildKey(byte type, short length, boolean encrypted) {
        switch (type) {
            case KeyBuilder.TYPE_EC_FP_PUBLIC:
                return new SoftKey(type, length);
            case KeyBuilder.TYPE_EC_FP_PRIVATE:
                return new SoftKey(type, length);
            case KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT:
                if (!Shape.TRANSIENT_EC) {
                    CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
                }
                return new SoftKey(type, length);
            default:
                return KeyBuilder.buildKey(type, length, encrypted);
        }
    }

    public static KeyAgreement keyAgreement(byte algorithm, boolean external) {
        return new SoftAgreement(algorithm);
    }

    public static Signature signature(byte algorithm, boolean external) {
        return algorithm == Signature.ALG_ECDSA_SHA_256 ? new SoftEcdsa() : Signature.getInstance(algorithm, external);
    }

    private static MessageDigest sha;

    static MessageDigest sha256() {
        return messageDigest(MessageDigest.ALG_SHA_256, false);
    }

    /** One engine for the applet and for ECDSA: the reference implementation has too little RAM for two. */
    public static MessageDigest messageDigest(byte algorithm, boolean external) {
        if (algorithm != MessageDigest.ALG_SHA_256) {
            return MessageDigest.getInstance(algorithm, external);
        }
        if (sha == null) {
            sha = MessageDigest.getInstance(algorithm, external);
        }
        return sha;
    }

    private static RandomData random;

    public static RandomData randomData(byte algorithm) {
        if (random == null) {
            random = new SoftRandom();
        }
        return random;
    }
}
