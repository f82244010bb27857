package rollcall.platform;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import javacard.framework.Applet;
import javacard.framework.JCSystem;
import javacard.framework.TransactionException;

/**
  * A transaction that can be rolled back: it saves the contents of the applet's objects, arrays and keys at its
  * beginning, and restores them when it is aborted, when the command ends without a commit, and when power fails.
  *
  * Not rolled back: the insides of engines (Cipher, Signature, MessageDigest, KeyAgreement), and transient memory,
  * which no card rolls back either. A write by a "NonAtomic" method inside a transaction is rolled back here; on a card
  * it may or may not be.
  *
  * Counted against the commit capacity: every byte that an atomic method of `Util` writes, as it is written; at the
  * commit every byte that has changed, if that is more. Headers that a card adds per write are not counted.
 */
public final class Transaction {

    /** Commit capacity of the reference implementation, in bytes. */
    public static final int CAPACITY = 3560;

    private final Memory memory;
    private Applet owner;
    private List<Runnable> undo;
    private List<Saved> saved;
    private int written;
    private boolean isInstalling;

    private record Saved(Object array, Object before) { }

    Transaction(Memory memory) {
        this.memory = memory;
    }

    void enter(Applet applet) {
        owner = applet;
    }

    /** Installation is one transaction: none can begin inside it, and nothing created in it needs to be rolled back. */
    void setInstalling(boolean isInstalling) {
        this.isInstalling = isInstalling;
    }

    public byte depth() {
        return (byte) (isInstalling || undo != null ? 1 : 0);
    }

    public short capacity() {
        return CAPACITY;
    }

    public short unused() {
        return (short) (CAPACITY - written);
    }

    public void begin() {
        if (depth() != 0) {
            TransactionException.throwIt(TransactionException.IN_PROGRESS);
        }
        undo = new ArrayList<>();
        saved = new ArrayList<>();
        String own = owner.getClass().getPackageName();
        for (Object object : Graph.of(owner, true)) {
            if (!object.getClass().isArray()) {
                for (Field field : Graph.fields(object, own, true)) {
                    Object before = Graph.get(field, object);
                    undo.add(() -> Graph.set(field, object, before));
                }
            } else if (memory.kind(object) == JCSystem.NOT_A_TRANSIENT_OBJECT) {
                saved.add(new Saved(object, Graph.copy(object)));
            }
        }
    }

    public void commit() {
        requireInProgress();
        int changed = saved.stream().mapToInt(Transaction::changed).sum();
        if (Math.max(written, changed) > CAPACITY) {
            TransactionException.throwIt(TransactionException.BUFFER_FULL);
        }
        end();
    }

    public void abort() {
        requireInProgress();
        undo.forEach(Runnable::run);
        for (Saved each : saved) {
            System.arraycopy(each.before, 0, each.array, 0, Array.getLength(each.array));
        }
        end();
    }

    private void end() {
        undo = null;
        saved = null;
        written = 0;
    }

    private void requireInProgress() {
        if (undo == null) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
    }

    /** Aborts a transaction that was left open, as a platform does. True if there was one. */
    boolean close() {
        boolean wasOpen = undo != null;
        if (wasOpen) {
            abort();
        }
        return wasOpen;
    }

    private static int changed(Saved saved) {
        int width = saved.array instanceof byte[] || saved.array instanceof boolean[] ? 1 : 2;
        int changed = 0;
        for (int i = 0; i < Array.getLength(saved.array); i++) {
            changed += Objects.equals(Array.get(saved.array, i), Array.get(saved.before, i)) ? 0 : width;
        }
        return changed;
    }

    void conditionalWrite(byte[] to, short length) {
        if (undo != null && memory.kind(to) == JCSystem.NOT_A_TRANSIENT_OBJECT) {
            if (written + length > CAPACITY) {
                TransactionException.throwIt(TransactionException.BUFFER_FULL);
            }
            written += length;
        }
    }
}
