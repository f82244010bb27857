package javacard.framework;

import rollcall.platform.StrictCard;

/** Shadows the simulator's class of this name: memory, transactions and channels are those of {@link StrictCard}. */
public final class JCSystem {

    public static final byte MEMORY_TYPE_PERSISTENT = 0;
    public static final byte MEMORY_TYPE_TRANSIENT_RESET = 1;
    public static final byte MEMORY_TYPE_TRANSIENT_DESELECT = 2;
    public static final byte NOT_A_TRANSIENT_OBJECT = 0;
    public static final byte CLEAR_ON_RESET = 1;
    public static final byte CLEAR_ON_DESELECT = 2;
    private static final short VERSION = 0x0300;

    private JCSystem() {
    }

    public static byte isTransient(Object object) {
        return StrictCard.current().memory().kind(object);
    }

    public static boolean[] makeTransientBooleanArray(short length, byte event) {
        return StrictCard.current().memory().keep(new boolean[length], event);
    }

    public static byte[] makeTransientByteArray(short length, byte event) {
        return StrictCard.current().memory().keep(new byte[length], event);
    }

    public static short[] makeTransientShortArray(short length, byte event) {
        return StrictCard.current().memory().keep(new short[length], event);
    }

    public static Object[] makeTransientObjectArray(short length, byte event) {
        return StrictCard.current().memory().keep(new Object[length], event);
    }

    public static short getVersion() {
        return VERSION;
    }

    public static AID getAID() {
        return StrictCard.current().selectedAid();
    }

    public static AID lookupAID(byte[] aid, short offset, byte length) {
        return StrictCard.current().lookup(aid, offset, length);
    }

    public static void beginTransaction() {
        StrictCard.current().transaction().begin();
    }

    public static void abortTransaction() {
        StrictCard.current().transaction().abort();
    }

    public static void commitTransaction() {
        StrictCard.current().transaction().commit();
    }

    public static byte getTransactionDepth() {
        return StrictCard.current().transaction().depth();
    }

    public static short getUnusedCommitCapacity() {
        return StrictCard.current().transaction().unused();
    }

    public static short getMaxCommitCapacity() {
        return StrictCard.current().transaction().capacity();
    }

    public static AID getPreviousContextAID() {
        return null;
    }

    public static byte getAssignedChannel() {
        return StrictCard.current().assignedChannel();
    }

    public static boolean isObjectDeletionSupported() {
        return false;
    }

    public static boolean isAppletActive(AID aid) {
        return StrictCard.current().isActive(aid);
    }
}
