package rollcall.applet;

import javacard.framework.APDU;
import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;

/** One copy of an EC key: the public point and, if the key is the token's, the private scalar. */
final class EcKey {

    private final Persistent store;
    final ECPublicKey point;
    final ECPrivateKey scalar;

    EcKey(Persistent store, boolean withPrivate) {
        this.store = store;
        point = (ECPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PUBLIC, P256.BITS, false);
        scalar = withPrivate
            ? (ECPrivateKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PRIVATE, P256.BITS, false) : null;
    }

    /** Imports the private key at {@code offset} and computes its point, using 65 free bytes at {@code scratch}. */
    void importScalar(Ec ec, byte[] b, short offset, short scratch) {
        store.privateKey(scalar, b, offset);
        ec.pointOf(scalar, b, scratch);
        importPoint(b, scratch);
    }

    void importPoint(byte[] from, short offset) {
        store.publicKey(point, from, offset);
    }

    /** Whether this is the key's point. The APDU buffer is free for it: the command has been copied out. */
    boolean holds(byte[] b, short offset) {
        byte[] scratch = APDU.getCurrentAPDUBuffer();
        short length = point.getW(scratch, (short) 0);
        return Util.arrayCompare(b, offset, scratch, (short) 0, length) == 0;
    }

    void clear() {
        store.clear(point);
        if (scalar != null) {
            store.clear(scalar);
        }
    }
}
