package rollcall.applet;

import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyAgreement;
import javacard.security.MessageDigest;
import javacard.security.RandomData;
import javacard.security.Signature;

/** The crypto engines except AES. Tests replace the random source, to compare results with published vectors. */
class Ec {

    /** KeyAgreement.ALG_EC_SVDP_DH_PLAIN_XY: the API names it only since 3.0.5, but a 3.0.4 card (J3H145) has it. */
    private static final byte ALG_EC_SVDP_DH_PLAIN_XY = 6;

    final MessageDigest sha256;
    private final RandomData random;
    private final Signature ecdsa;
    private final KeyAgreement agreement;
    private final KeyAgreement multiplication;

    Ec() {
        sha256 = MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);
        random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
        ecdsa = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
        agreement = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);
        multiplication = KeyAgreement.getInstance(ALG_EC_SVDP_DH_PLAIN_XY, false);
    }

    void random(byte[] to, short offset, short length) {
        random.generateData(to, offset, length);
    }

    /** Writes a random 32-byte scalar d, 0 < d < n. */
    void randomScalar(byte[] to, short offset) {
        do {
            random(to, offset, Constants.SCALAR);
        } while (!P256.isScalar(to, offset));
    }

    /** Computes the point of a private key as d times G; generating a key pair would write persistent memory. */
    void pointOf(ECPrivateKey scalar, byte[] to, short offset) {
        multiplication.init(scalar);
        multiplication.generateSecret(P256.G, (short) 0, Constants.POINT, to, offset);
    }

    /**
      * Writes the x coordinate of scalar times point, 32 bytes. Returns false when the point is not on the curve: cards
      * then throw CryptoException, the simulator IllegalArgumentException, and others may throw anything.
     */
    boolean agree(ECPrivateKey scalar, byte[] point, short offset, byte[] to, short toOffset) {
        // SEC 1, 2.3.4: uncompressed only. Compressed and hybrid forms and infinity start with another byte.
        if (point[offset] != 0x04) {
            return false;
        }
        try {
            agreement.init(scalar);
            return agreement.generateSecret(point, offset, Constants.POINT, to, toOffset) == Constants.SCALAR;
        } catch (RuntimeException refused) {
            return false;
        }
    }

    boolean verify(ECPublicKey key, byte[] b, short offset, short length, short signature, short signatureLength) {
        try {
            ecdsa.init(key, Signature.MODE_VERIFY);
            return ecdsa.verify(b, offset, length, b, signature, signatureLength);
        } catch (RuntimeException malformed) {
            return false;
        }
    }

    short sign(ECPrivateKey key, byte[] b, short offset, short length, short to) {
        ecdsa.init(key, Signature.MODE_SIGN);
        return ecdsa.sign(b, offset, length, b, to);
    }

    /**
     * The CA identifier: first 20 bytes of SHA-256 of the key's point; RFC 5280, 4.2.1.2 (1), but with the other hash.
     */
    void caId(ECPublicKey key, byte[] scratch, short at, byte[] to, short offset) {
        short length = key.getW(scratch, at);
        sha256.doFinal(scratch, at, length, to, offset);
    }
}
