package rollcall.applet;

import javacard.framework.Util;

/**
  * Checks what enrollment put on the token against one SHA-256 over the sorted entries: `KID KVN value` of the keys and
  * `tag KVN-or-00 SHA-256(object)` of the objects.
 *
 * Specification: docs/protocol.md, "The manifest".
 */
final class Manifest {

    // Working space in the buffer; the received manifest is at 0.
    private static final short HASHES = 32;
    private static final short ENTRY = 352;
    private static final short VALUE = 355;
    private static final short TAG_ENTRY = 3;

    private final byte[] buffer;
    private final Ec ec;
    private final Keys keys;
    private final Scp03Keys scp03Keys;
    private final Records records;
    private final SecureMessaging messaging;

    Manifest(Transients ram, Ec ec, Keys keys, Scp03Keys scp03Keys, Records records, SecureMessaging messaging) {
        buffer = ram.buffer;
        this.ec = ec;
        this.keys = keys;
        this.scp03Keys = scp03Keys;
        this.records = records;
        this.messaging = messaging;
    }

    /** Whether the 32 bytes at the start of the buffer are the manifest of this token. */
    boolean matches() {
        // There is only one digest engine: hash the objects first, then the entries.
        short end = hashObject(records.mode, HASHES);
        end = hashObject(records.record, end);
        end = hashObject(records.details, end);
        end = hashObject(records.portrait, end);
        end = hashObject(records.identityCertificate, end);
        for (byte i = 0; i < Keys.COUNT; i++) {
            KeyEntry entry = keys.at(i);
            if (entry.kid == Constants.KID_ECKA && entry.isPresent()) {
                entry.hashCertificate(ec, buffer, end);
                end = (short) (end + Constants.HASH);
            }
        }

        // Sorted as bytes: 01 00, then 01 01 twice (the object and the ENC key), 01 02, 01 03, 02 01, 03 01, 10, 11,
        // 21, 7F 21, BF 21.
        short hash = HASHES;
        hash = addObject(records.mode, hash);
        hash = addRecordAndEncKey(hash);
        hash = addObject(records.details, hash);
        hash = addObject(records.portrait, hash);
        addScp03Key(Scp03Keys.MAC);
        addScp03Key(Scp03Keys.DEK);
        for (byte i = 0; i < Keys.COUNT; i++) {
            addKey(keys.at(i));
        }
        hash = addObject(records.identityCertificate, hash);
        for (byte i = 0; i < Keys.COUNT; i++) {
            hash = addCertificate(keys.at(i), hash);
        }
        ec.sha256.doFinal(buffer, (short) 0, (short) 0, buffer, ENTRY);
        return Util.arrayCompare(buffer, (short) 0, buffer, ENTRY, Constants.HASH) == 0;
    }

    private short hashObject(StoredObject object, short to) {
        if (!object.isPresent()) {
            return to;
        }
        object.hash(ec, buffer, to);
        return (short) (to + Constants.HASH);
    }

    private short addObject(StoredObject object, short hash) {
        return object.isPresent() ? addHash(object.tag, (byte) 0, hash) : hash;
    }

    private short addCertificate(KeyEntry entry, short hash) {
        return entry.kid == Constants.KID_ECKA && entry.isPresent()
            ? addHash(Constants.TAG_ECKA_CERTIFICATE, entry.kvn, hash) : hash;
    }

    private short addHash(short tag, byte kvn, short hash) {
        Util.setShort(buffer, ENTRY, tag);
        buffer[(short) (ENTRY + 2)] = kvn;
        ec.sha256.update(buffer, ENTRY, TAG_ENTRY);
        ec.sha256.update(buffer, hash, Constants.HASH);
        return (short) (hash + Constants.HASH);
    }

    private void addKey(KeyEntry entry) {
        if (entry.isPresent()) {
            buffer[ENTRY] = entry.kid;
            buffer[(short) (ENTRY + 1)] = entry.kvn;
            short length = entry.inForce().point.getW(buffer, (short) (ENTRY + 2));
            ec.sha256.update(buffer, ENTRY, (short) (length + 2));
        }
    }

    /** KID 1 to 3 are ENC, MAC, DEK; the key's check value follows. */
    private void addScp03Key(byte which) {
        buffer[ENTRY] = (byte) (which + 1);
        buffer[(short) (ENTRY + 1)] = Constants.KVN_TOKEN;
        messaging.checkValue(scp03Keys.inForce(which), (short) (ENTRY + 2));
        ec.sha256.update(buffer, ENTRY, (short) 5);
    }

    /**
      * The only pair whose order depends on the values: `01 01 00 hash` of the record and `01 01 kcv` of the ENC key.
      * The shorter comes first when it is a prefix of the longer.
     */
    private short addRecordAndEncKey(short hash) {
        buffer[ENTRY] = 0;
        Util.arrayCopyNonAtomic(buffer, hash, buffer, (short) (ENTRY + 1), (short) 2);
        messaging.checkValue(scp03Keys.inForce(Scp03Keys.ENC), VALUE);
        if (Order.compare(buffer, VALUE, buffer, ENTRY, (short) 3) <= 0) {
            addScp03Key(Scp03Keys.ENC);
            return addObject(records.record, hash);
        }
        short next = addObject(records.record, hash);
        addScp03Key(Scp03Keys.ENC);
        return next;
    }
}
