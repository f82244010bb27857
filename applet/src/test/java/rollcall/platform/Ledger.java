package rollcall.platform;

import java.lang.reflect.Array;
import java.util.List;
import javacard.framework.Applet;
import javacard.framework.JCSystem;
import javacard.security.ECKey;
import javacard.security.Key;
import javacard.security.KeyAgreement;
import javacard.security.KeyBuilder;
import javacard.security.MessageDigest;
import javacard.security.RandomData;
import javacard.security.Signature;
import javacardx.crypto.Cipher;

/**
 * What an applet takes of the reference implementation's memory, counted over all that hangs on it: the commit capacity
 * for its installation, of which every object that is made takes 16 bytes, and the memory that a deselection clears.
 * Prices of memory were measured on the reference implementation 3.0.5u4. The objects that keys and engines consist of are
 * an estimate: where that machine took 3,423 bytes (all at the installation), 625 (hardly anything) and 2,059 (engines and
 * what is in RAM), this count gives 3,408, 672 and 1,248; the engines there are in software and consist of more.
 */
public final class Ledger {

    /** Memory cleared at a deselection, in bytes. */
    public static final int RAM = 1440;
    private static final int OBJECT = 16;
    /** The key, and what it holds in arrays. */
    private static final int EC_KEY_OBJECTS = 3;
    private static final int ENGINE_OBJECTS = 2;
    private static final int AES_CBC = 72;
    private static final int AES_MAC = 106;
    private static final int SHA_256 = 109;
    private static final int AES_KEY = 17;

    private final int objects;
    private final int ram;

    Ledger(Memory memory, Applet applet) {
        List<Object> all = Graph.of(applet, false);
        objects = all.stream().mapToInt(Ledger::made).sum();
        ram = all.stream().mapToInt(each -> price(memory, each)).sum();
    }

    /** How many objects were made, those included that keys and engines consist of. */
    public int objects() {
        return objects;
    }

    /** Bytes of commit capacity. */
    public int commit() {
        return objects * OBJECT;
    }

    /** Bytes cleared at a deselection. */
    public int ram() {
        return ram;
    }

    private static int made(Object object) {
        if (object instanceof ECKey) {
            return EC_KEY_OBJECTS;
        }
        boolean isPlatforms = object instanceof Key || object instanceof Signature || object instanceof MessageDigest
            || object instanceof Cipher || object instanceof KeyAgreement || object instanceof RandomData;
        return isPlatforms ? ENGINE_OBJECTS : 1;
    }

    private static int price(Memory memory, Object object) {
        if (object.getClass().isArray()) {
            int width = object instanceof byte[] || object instanceof boolean[] ? 1 : 2;
            return memory.kind(object) == JCSystem.CLEAR_ON_DESELECT ? Array.getLength(object) * width : 0;
        }
        if (object instanceof Key key) {
            return key.getType() == KeyBuilder.TYPE_AES_TRANSIENT_DESELECT ? AES_KEY : 0;
        }
        if (object instanceof Signature signature) {
            return signature.getAlgorithm() == Signature.ALG_AES_MAC_128_NOPAD ? AES_MAC : 0;
        }
        if (object instanceof MessageDigest) {
            return SHA_256;
        }
        return object instanceof Cipher ? AES_CBC : 0;
    }

    /** @throws IllegalStateException above the commit capacity, if all this was made by the installation */
    void requireCapacity() {
        if (commit() > Transaction.CAPACITY) {
            throw new IllegalStateException("installation needs " + commit() + " of " + Transaction.CAPACITY
                + " bytes of commit capacity");
        }
    }

    /** @throws IllegalStateException above the memory that a deselection clears */
    void requireMemory() {
        if (ram > RAM) {
            throw new IllegalStateException("there are " + ram + " of " + RAM + " bytes cleared at a deselection");
        }
    }
}
