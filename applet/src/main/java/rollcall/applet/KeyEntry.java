package rollcall.applet;

/**
  * The key of one identifier and version, in two copies, and the number of its certificate, if it has one. One
  * directory byte describes all of it, so that each change is one atomic write:
 *
 * <pre>
 *   03  the copy in force, 1 or 2; 0 when there is no key
  *   C4  the number of the certificate in force, bit 04 being its lowest bit; 0 when there is none
  *   08  the other copy holds a key that is waiting for its certificate
  *   30  age: of two versions of a key, the newer has the age of the older plus 1, modulo 4
 * </pre>
 */
final class KeyEntry {

    private static final byte COPY = 0x03;
    private static final short CERTIFICATE = 0xC4;
    private static final byte PENDING = 0x08;
    private static final byte AGE = 0x30;
    private static final byte AGE_UNIT = 0x10;

    final byte kid;
    final byte kvn;
    private final Persistent store;
    private final byte index;
    private final EcKey first;
    private final EcKey second;
    private final Copies certificates;

    KeyEntry(Persistent store, Copies certificates, byte index, byte kid, byte kvn) {
        this.store = store;
        this.certificates = certificates;
        this.index = index;
        this.kid = kid;
        this.kvn = kvn;
        boolean withPrivate = kid != Constants.KID_CA;
        first = new EcKey(store, withPrivate);
        second = new EcKey(store, withPrivate);
    }

    private byte directory() {
        return store.get(index);
    }

    boolean isPresent() {
        return (directory() & COPY) != 0;
    }

    boolean isPending() {
        return (directory() & PENDING) != 0;
    }

    EcKey inForce() {
        return (directory() & COPY) == 2 ? second : first;
    }

    /** The copy not in force: the one to fill, or the key that is waiting for its certificate. */
    EcKey other() {
        return (directory() & COPY) == 1 ? second : first;
    }

    /** Forgets a waiting key before its copy is overwritten, so that half a key is never marked as waiting. */
    void beginFilling() {
        if (isPending()) {
            store.set(index, (byte) (directory() & ~PENDING));
        }
    }

    /** Marks the filled copy as waiting for its certificate; the old key and certificate stay in force until then. */
    void awaitCertificate() {
        store.set(index, (byte) (directory() | PENDING));
    }

    /** Puts the filled copy in force, as the newest key of its kind. */
    void switchOver(KeyEntry sibling) {
        EcKey old = inForce();
        boolean replaced = isPresent();
        byte copy = (directory() & COPY) == 1 ? (byte) 2 : (byte) 1;
        store.set(index, (byte) (copy | ageAfter(sibling)));
        if (replaced) {
            old.clear();
        }
    }

    /** Writes a certificate and puts it in force, together with the key waiting for it, if any. */
    void certify(byte[] from, short offset, short length, KeyEntry sibling) {
        byte free = certificates.free((byte) 0);
        certificates.write(free, from, offset, length);
        short number = (short) ((free & 1) << 2 | (free & 6) << 5);
        if (!isPending()) {
            store.set(index, (byte) ((directory() & ~CERTIFICATE) | number));
            return;
        }
        EcKey old = inForce();
        boolean replaced = isPresent();
        byte copy = (directory() & COPY) == 1 ? (byte) 2 : (byte) 1;
        store.set(index, (byte) (copy | number | ageAfter(sibling)));
        if (replaced) {
            old.clear();
        }
    }

    private byte ageAfter(KeyEntry sibling) {
        return sibling == null ? 0 : (byte) (((sibling.directory() & AGE) + AGE_UNIT) & AGE);
    }

    /** Of two present versions: whether this one came into force after the other. */
    boolean isNewerThan(KeyEntry sibling) {
        return (directory() & AGE) == ageAfter(sibling);
    }

    /** The number of the certificate in force according to this directory byte; 0 when there is none. */
    static byte certificateOf(byte directory) {
        return (byte) ((directory & 0x04) >> 2 | (directory & 0xC0) >> 5);
    }

    short readCertificate(byte[] to, short offset) {
        byte copy = certificateOf(directory());
        return certificates.read(copy, (short) 0, to, offset, certificates.length(copy));
    }

    void hashCertificate(Ec ec, byte[] to, short offset) {
        byte copy = certificateOf(directory());
        certificates.hash(copy, certificates.length(copy), ec, to, offset);
    }

    void remove() {
        byte certificate = certificateOf(directory());
        store.set(index, (byte) 0);
        first.clear();
        second.clear();
        certificates.forget(certificate);
    }
}
