package rollcall.applet;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;

/** The static SCP03 keys: the start keys, kept until the token is TERMINATED, and two copies of the per-token keys. */
final class Scp03Keys {

    static final byte ENC = 0;
    static final byte MAC = 1;
    static final byte DEK = 2;
    static final byte KEYS = 3;

    /** GlobalPlatform's well-known test key, 404142...4F: it protects nothing. */
    private static final byte[] TEST_KEY = {
        0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F
    };

    private final Persistent store;
    private final AESKey[] keys;
    /** Whether any start key is the test key. */
    final boolean areTestKeys;

    /** @param startKeys the three keys at {@code offset}, or null for the test keys */
    Scp03Keys(Persistent store, byte[] startKeys, short offset) {
        this.store = store;
        keys = new AESKey[9];
        boolean test = startKeys == null;
        for (byte i = 0; i < KEYS; i++) {
            keys[i] = newKey();
            short at = (short) (offset + i * Constants.KEY);
            keys[i].setKey(startKeys == null ? TEST_KEY : startKeys, startKeys == null ? (short) 0 : at);
            test |= startKeys != null
                && Util.arrayCompare(startKeys, at, TEST_KEY, (short) 0, Constants.KEY) == 0;
        }
        areTestKeys = test;
    }

    private static AESKey newKey() {
        return (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
    }

    /** Creates the missing key objects of the per-token keys. */
    void grow() {
        for (byte i = KEYS; i < (byte) keys.length; i++) {
            if (keys[i] == null) {
                store.step();
                keys[i] = newKey();
            }
        }
    }

    byte kvn() {
        return store.get(Persistent.SCP03_COPY) == 0 ? Constants.KVN_START : Constants.KVN_TOKEN;
    }

    boolean arePerToken() {
        return store.get(Persistent.SCP03_COPY) != 0;
    }

    AESKey inForce(byte which) {
        return keys[(byte) (store.get(Persistent.SCP03_COPY) * KEYS + which)];
    }

    /** Puts three per-token keys in force, in place of the start keys or the former per-token keys. */
    void replace(byte[] from, short offset) {
        byte copy = store.get(Persistent.SCP03_COPY) == 1 ? (byte) 2 : (byte) 1;
        for (byte i = 0; i < KEYS; i++) {
            store.aesKey(keys[(byte) (copy * KEYS + i)], from, (short) (offset + i * Constants.KEY));
        }
        store.set(Persistent.SCP03_COPY, copy);
    }

    /** Back to the start keys. */
    void reset() {
        store.set(Persistent.SCP03_COPY, (byte) 0);
        for (byte i = KEYS; i < (byte) keys.length; i++) {
            store.clear(keys[i]);
        }
    }

    /** Clears all keys, including the start keys, of a TERMINATED token. */
    void destroy() {
        for (byte i = 0; i < (byte) keys.length; i++) {
            store.clear(keys[i]);
        }
    }
}
