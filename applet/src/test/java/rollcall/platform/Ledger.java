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
  * Counts how much of the reference implementation's memory an applet uses, over everything reachable from it: the
  * commit capacity for its installation, of which each object created takes 16 bytes, and the memory cleared at a
  * deselection. Memory prices were measured on the reference implementation 3.0.5u4. The number of objects inside keys
  * and engines is an estimate: where that machine used 3,423 bytes (everything at the installation), 625 (hardly
  * anything) and 2,059 (engines and RAM objects), this count gives 3,408, 672 and 1,248; its software engines consist
  * of more objects.
 */
public final class Ledger {

    /** Memory cleared at a deselection, in bytes. */
    public static final int RAM = 1440;
    private static final int OBJECT = 16;
    /** The key, and the arrays it holds. */
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

    /** How many objects were created, including those inside keys and engines. */
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

    /** @throws IllegalStateException if the installation, having created all this, exceeds the commit capacity */
    void requireCapacity() {
        if (commit() > Transaction.CAPACITY) {
            throw new IllegalStateException("installation needs " + commit() + " of " + Transaction.CAPACITY
                + " bytes of commit capacity");
        }
    }

    /** @throws IllegalStateException if there is not enough clear-on-deselect memory */
    void requireMemory() {
        if (ram > RAM) {
            throw new IllegalStateException("there are " + ram + " of " + RAM + " bytes cleared at a deselection");
        }
    }
}
