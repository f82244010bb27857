package rollcall.applet;

/** The EC keys of the token: two CA keys, three ECKA keys (two set keys and the token's own), and the identity key. */
final class Keys {

    private static final byte CA = 0;
    private static final byte SET = 2;
    private static final byte OWN = 4;
    private static final byte IDENTITY = 5;
    static final byte COUNT = 6;
    private static final byte[] KIDS = {
        Constants.KID_CA, Constants.KID_CA, Constants.KID_ECKA, Constants.KID_ECKA, Constants.KID_ECKA,
        Constants.KID_IDENTITY
    };
    private static final byte[] KVNS = {0x03, 0x04, 0x01, 0x02, Constants.KVN_OWN, Constants.KVN_IDENTITY};

    private final KeyEntry[] entries;
    private final Persistent store;
    private final Copies certificates;

    Keys(Persistent store, Copies certificates) {
        this.store = store;
        this.certificates = certificates;
        entries = new KeyEntry[COUNT];
    }

    /** Creates missing entries, in manifest order; the token's own key follows the set keys. */
    void grow() {
        for (byte i = 0; i < COUNT; i++) {
            if (entries[i] == null) {
                store.step();
                entries[i] = new KeyEntry(store, certificates, (byte) (Persistent.KEYS + i), KIDS[i], KVNS[i]);
            }
        }
    }

    KeyEntry at(byte position) {
        return entries[position];
    }

    KeyEntry own() {
        return entries[OWN];
    }

    KeyEntry identity() {
        return entries[IDENTITY];
    }

    /** The entry for this key, whether it holds a key or not; null when the table has no such key. */
    KeyEntry place(byte kid, byte kvn) {
        for (byte i = 0; i < COUNT; i++) {
            if (entries[i].kid == kid && entries[i].kvn == kvn) {
                return entries[i];
            }
        }
        return null;
    }

    /** The entry of a key that is present, null when there is none. */
    KeyEntry find(byte kid, byte kvn) {
        KeyEntry entry = place(kid, kvn);
        return entry != null && entry.isPresent() ? entry : null;
    }

    /** The other version, with which this key alternates; null for the token's own and the identity key. */
    KeyEntry sibling(KeyEntry entry) {
        for (byte i = 0; i < OWN; i++) {
            if (entries[i] == entry) {
                return entries[(byte) (i ^ 1)];
            }
        }
        return null;
    }

    /** The oldest CA key, null when there is none. */
    KeyEntry oldestCa() {
        return older(entries[CA], entries[(byte) (CA + 1)]);
    }

    /** The oldest set key, null when there is none. */
    KeyEntry oldestSet() {
        return older(entries[SET], entries[(byte) (SET + 1)]);
    }

    private static KeyEntry older(KeyEntry one, KeyEntry two) {
        if (one.isPresent() && two.isPresent()) {
            return one.isNewerThan(two) ? two : one;
        }
        return one.isPresent() ? one : (two.isPresent() ? two : null);
    }

    void remove() {
        for (byte i = 0; i < COUNT; i++) {
            entries[i].remove();
        }
    }
}
