package rollcall.applet;

import javacard.framework.APDU;
import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;

/** One copy of an EC key: its point, and its private half unless it belongs to somebody else. */
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

    /** Takes the private key at {@code offset}, and its point, for which 65 bytes at {@code scratch} must be free. */
    void importScalar(Ec ec, byte[] b, short offset, short scratch) {
        store.privateKey(scalar, b, offset);
        ec.pointOf(scalar, b, scratch);
        importPoint(b, scratch);
    }

    void importPoint(byte[] from, short offset) {
        store.publicKey(point, from, offset);
    }

    /** Whether this is its point. The APDU buffer is free once the command was taken out of it. */
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
