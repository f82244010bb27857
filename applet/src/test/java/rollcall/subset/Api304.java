package rollcall.subset;

import java.util.Set;

/**
  * The part of the Java Card API 3.0.4 Classic that the applet may use: only what was looked up, not the whole API. The
  * simulator's classes are those of 3.0.5, so they cannot be used for this check.
 */
final class Api304 {

    static final Set<String> TYPES = Set.of(
        "javacard/framework/APDU", "javacard/framework/APDUException", "javacard/framework/Applet",
        "javacard/framework/CardRuntimeException",
        "javacard/framework/ISO7816", "javacard/framework/ISOException", "javacard/framework/JCSystem",
        "javacard/framework/Util", "javacard/security/AESKey", "javacard/security/CryptoException",
        "javacard/security/ECKey", "javacard/security/ECPrivateKey", "javacard/security/ECPublicKey",
        "javacard/security/Key", "javacard/security/KeyAgreement", "javacard/security/KeyBuilder",
        "javacard/security/MessageDigest", "javacard/security/PrivateKey",
        "javacard/security/PublicKey", "javacard/security/RandomData", "javacard/security/Signature",
        "javacardx/apdu/ExtendedLength", "javacardx/crypto/Cipher");

    static final Set<String> METHODS = Set.of(
        "javacard/framework/APDU.getBuffer", "javacard/framework/APDU.getCurrentAPDUBuffer",
        "javacard/framework/APDU.getOffsetCdata", "javacard/framework/APDU.getProtocol",
        "javacard/framework/APDU.receiveBytes", "javacard/framework/APDUException.getReason",
        "javacard/framework/APDU.sendBytesLong", "javacard/framework/APDU.setIncomingAndReceive",
        "javacard/framework/APDU.setOutgoing", "javacard/framework/APDU.setOutgoingLength",
        "javacard/framework/Applet.<init>", "javacard/framework/ISOException.throwIt",
        "javacard/framework/JCSystem.getAssignedChannel",
        "javacard/framework/JCSystem.makeTransientByteArray", "javacard/framework/JCSystem.makeTransientShortArray",
        "javacard/framework/Util.arrayCompare", "javacard/framework/Util.arrayCopyNonAtomic",
        "javacard/framework/Util.arrayFillNonAtomic", "javacard/framework/Util.getShort",
        "javacard/framework/Util.setShort", "javacard/security/AESKey.clearKey", "javacard/security/AESKey.getKey",
        "javacard/security/AESKey.setKey", "javacard/security/ECKey.setA", "javacard/security/ECKey.setB",
        "javacard/security/ECKey.setFieldFP", "javacard/security/ECKey.setG", "javacard/security/ECKey.setK",
        "javacard/security/ECKey.setR", "javacard/security/ECPrivateKey.clearKey",
        "javacard/security/ECPrivateKey.isInitialized", "javacard/security/ECPrivateKey.setS", "javacard/security/ECPublicKey.getW",
        "javacard/security/ECPublicKey.setW", "javacard/security/Key.clearKey",
        "javacard/security/KeyAgreement.generateSecret", "javacard/security/KeyAgreement.getInstance",
        "javacard/security/KeyAgreement.init", "javacard/security/KeyBuilder.buildKey",
        "javacard/security/MessageDigest.doFinal", "javacard/security/MessageDigest.getInstance",
        "javacard/security/MessageDigest.reset", "javacard/security/MessageDigest.update",
        "javacard/security/RandomData.generateData", "javacard/security/RandomData.getInstance",
        "javacard/security/Signature.getInstance", "javacard/security/Signature.init",
        "javacard/security/Signature.sign", "javacard/security/Signature.update",
        "javacard/security/Signature.verify", "javacardx/crypto/Cipher.doFinal",
        "javacardx/crypto/Cipher.getInstance", "javacardx/crypto/Cipher.init");

    private Api304() {
    }
}
