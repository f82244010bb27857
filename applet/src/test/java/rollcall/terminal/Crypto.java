package rollcall.terminal;

import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.ECPublicKeySpec;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** The test terminal's cryptography, on the JDK's providers: shares no code with the applet or the simulator. */
public final class Crypto {

    private static final SecureRandom RANDOM = new SecureRandom();

    private Crypto() {
    }

    public static byte[] random(int n) {
        byte[] bytes = new byte[n];
        RANDOM.nextBytes(bytes);
        return bytes;
    }

    public static byte[] sha256(byte[]... parts) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(Bytes.cat(parts));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    public static byte[] aes(byte[] key, byte[] block) {
        return aesCbc(Cipher.ENCRYPT_MODE, key, new byte[16], block);
    }

    public static byte[] aesCbc(int mode, byte[] key, byte[] iv, byte[] data) {
        try {
            Cipher cipher = Cipher.getInstance("AES/CBC/NoPadding", "SunJCE");
            cipher.init(mode, new SecretKeySpec(key, "AES"), new IvParameterSpec(iv));
            return cipher.doFinal(data);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    /** RFC 4493. */
    public static byte[] cmac(byte[] key, byte[]... parts) {
        byte[] message = Bytes.cat(parts);
        BigInteger k = doubled(new BigInteger(1, aes(key, new byte[16])));
        int blocks = Math.max(1, (message.length + 15) / 16);
        byte[] padded = java.util.Arrays.copyOf(message, blocks * 16);
        if (message.length != padded.length) {
            padded[message.length] = (byte) 0x80;
            k = doubled(k);
        }
        byte[] subkey = Bytes.be(0, 16);
        byte[] raw = k.toByteArray();
        int n = Math.min(16, raw.length);
        System.arraycopy(raw, raw.length - n, subkey, 16 - n, n);
        for (int i = 0; i < 16; i++) {
            padded[padded.length - 16 + i] ^= subkey[i];
        }
        byte[] all = aesCbc(Cipher.ENCRYPT_MODE, key, new byte[16], padded);
        return Bytes.part(all, all.length - 16, 16);
    }

    private static BigInteger doubled(BigInteger l) {
        BigInteger twice = l.shiftLeft(1);
        return twice.testBit(128) ? twice.clearBit(128).xor(BigInteger.valueOf(0x87)) : twice;
    }

    public static KeyPair newKeyPair() {
        try {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "SunEC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return generator.generateKeyPair();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    public static KeyPair keyPair(byte[] scalar, byte[] point) {
        try {
            return new KeyPair(publicKey(point), KeyFactory.getInstance("EC", "SunEC").generatePrivate(
                new ECPrivateKeySpec(new BigInteger(1, scalar), parameters())));
        } catch (GeneralSecurityException e) {
            throw new IllegalArgumentException(e);
        }
    }

    private static ECParameterSpec parameters() throws GeneralSecurityException {
        AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC", "SunEC");
        parameters.init(new ECGenParameterSpec("secp256r1"));
        return parameters.getParameterSpec(ECParameterSpec.class);
    }

    public static byte[] point(KeyPair pair) {
        ECPoint w = ((ECPublicKey) pair.getPublic()).getW();
        return Bytes.cat(Bytes.of(4), fixed(w.getAffineX()), fixed(w.getAffineY()));
    }

    public static byte[] scalar(KeyPair pair) {
        return fixed(((ECPrivateKey) pair.getPrivate()).getS());
    }

    private static byte[] fixed(BigInteger value) {
        byte[] raw = value.toByteArray();
        byte[] out = new byte[32];
        int n = Math.min(32, raw.length);
        System.arraycopy(raw, raw.length - n, out, 32 - n, n);
        return out;
    }

    public static ECPublicKey publicKey(byte[] point) {
        try {
            ECPoint w = new ECPoint(
                new BigInteger(1, Bytes.part(point, 1, 32)), new BigInteger(1, Bytes.part(point, 33, 32)));
            return (ECPublicKey) KeyFactory.getInstance("EC", "SunEC").generatePublic(
                new ECPublicKeySpec(w, parameters()));
        } catch (GeneralSecurityException e) {
            throw new IllegalArgumentException(e);
        }
    }

    public static byte[] ecdh(KeyPair own, byte[] point) {
        try {
            KeyAgreement agreement = KeyAgreement.getInstance("ECDH", "SunEC");
            agreement.init(own.getPrivate());
            agreement.doPhase(publicKey(point), true);
            return agreement.generateSecret();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    public static byte[] sign(KeyPair key, byte[] message) {
        try {
            Signature signature = Signature.getInstance("SHA256withECDSA", "SunEC");
            signature.initSign(key.getPrivate());
            signature.update(message);
            return signature.sign();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    public static boolean verify(byte[] point, byte[] message, byte[] signatureBytes) {
        try {
            Signature signature = Signature.getInstance("SHA256withECDSA", "SunEC");
            signature.initVerify(publicKey(point));
            signature.update(message);
            return signature.verify(signatureBytes);
        } catch (GeneralSecurityException e) {
            return false;
        }
    }

    /** The first 20 bytes of the hash of the CA's point. */
    public static byte[] caId(KeyPair ca) {
        return Bytes.part(sha256(point(ca)), 0, 20);
    }

    public static byte[] checkValue(byte[] key) {
        byte[] ones = new byte[16];
        java.util.Arrays.fill(ones, (byte) 1);
        return Bytes.part(aes(key, ones), 0, 3);
    }
}
