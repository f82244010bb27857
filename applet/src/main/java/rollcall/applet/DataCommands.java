package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * GET DATA and PUT DATA, for whole objects and in parts.
 *
 * Specification: docs/protocol.md, "GET DATA"; docs/protocol.md, "PUT DATA of whole objects".
 */
final class DataCommands {

    private static final byte[] ANY_REFERENCE = {(byte) 0xA6, 0x04, (byte) 0x83, 0x02};
    private static final byte[] CA_REFERENCE = {(byte) 0xA6, 0x16, 0x42, 0x14};
    private static final byte[] OFFSET = {0x54, 0x02};
    private static final byte[] COMMIT_LENGTH = {(byte) 0x80, 0x02};
    private static final byte[] COMMIT_HASH = {(byte) 0x81, 0x20};
    private static final byte DATA = 0x53;
    private static final byte CLA_PROPRIETARY = (byte) 0x80;

    private final Transients ram;
    private final Lifecycle life;
    private final Keys keys;
    private final Records records;
    private final Dates dates;
    private final Ec ec;
    private final Certificate certificate;

    DataCommands(Transients ram, Lifecycle life, Keys keys, Records records, Dates dates, Ec ec,
        Certificate certificate) {
        this.ram = ram;
        this.life = life;
        this.keys = keys;
        this.records = records;
        this.dates = dates;
        this.ec = ec;
        this.certificate = certificate;
    }

    /** What a terminal needs before it can open a channel, and an administrator to unblock a blocked token. */
    static boolean isPublic(short tag) {
        return tag == Constants.TAG_ECKA_CERTIFICATE || tag == Constants.TAG_CA_LOOKUP
            || tag == Constants.TAG_CA_LIST;
    }

    /**
     * GET DATA, ISO/IEC 7816-4, 11.4.3; the public tags as in Amendment F, 7.1.
     *
      * PRE-CONDITION: a channel with a role, except for the public tags.
     */
    short getData(short length) {
        switch (ram.tag()) {
            case Constants.TAG_ECKA_CERTIFICATE:
                return getEckaCertificate(length);
            case Constants.TAG_CA_LOOKUP:
                return getCaVersion(length);
            case Constants.TAG_CA_LIST:
                requireNoData(length);
                return getCaList();
            case Constants.TAG_EMPTY_LIST:
                requireNoData(length);
                ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
                return 0;
            case Constants.TAG_MODE:
                requireReader();
                requireNoData(length);
                ram.buffer[0] = life.state();
                return 1;
            case Constants.TAG_RECORD:
                return getObject(records.record, length);
            case Constants.TAG_IDENTITY_CERTIFICATE:
                return getObject(records.identityCertificate, length);
            default:
                ISOException.throwIt(Constants.SW_WRONG_DATA);
                return 0;
        }
    }

    private short getEckaCertificate(short length) {
        Tlv.require(length == (short) (ANY_REFERENCE.length + 2));
        Tlv.literal(ram.buffer, (short) 0, length, ANY_REFERENCE);
        KeyEntry entry = keys.find(ram.buffer[4], ram.buffer[5]);
        // In plain, a private token reveals only what its whole set shares: not its own certificate, not a newer set
        // key.
        boolean hidden = !ram.inChannel() && records.isPrivate() && entry != keys.oldestSet();
        if (entry == null || entry.kid != Constants.KID_ECKA || hidden) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
        return entry.readCertificate(ram.buffer, (short) 0);
    }

    private short getCaVersion(short length) {
        Tlv.require(length == (short) (CA_REFERENCE.length + Constants.CA_ID));
        short id = Tlv.literal(ram.buffer, (short) 0, length, CA_REFERENCE);
        for (byte i = 0; i < Keys.COUNT; i++) {
            KeyEntry entry = keys.at(i);
            if (isCa(entry)) {
                ec.caId(entry.inForce().point, ram.buffer, length, ram.buffer, length);
                if (Util.arrayCompare(ram.buffer, id, ram.buffer, length, Constants.CA_ID) == 0) {
                    return putKeyReference((short) 0, entry);
                }
            }
        }
        ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        return 0;
    }

    private short getCaList() {
        byte[] b = ram.buffer;
        // Old clients expect the bare list, newer ones a list inside its tag; the class byte tells them apart.
        short end = 0;
        if ((ram.transport[Transients.HEADER] & CLA_PROPRIETARY) != 0) {
            end = 3;
        }
        short start = end;
        for (byte i = 0; i < Keys.COUNT; i++) {
            KeyEntry entry = keys.at(i);
            if (isCa(entry)) {
                b[end++] = 0x42;
                b[end++] = (byte) Constants.CA_ID;
                ec.caId(entry.inForce().point, b, end, b, end);
                end = putKeyReference((short) (end + Constants.CA_ID), entry);
            }
        }
        if (end == start) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
        if (start != 0) {
            Util.setShort(b, (short) 0, Constants.TAG_CA_LIST);
            b[2] = (byte) (end - start);
        }
        return end;
    }

    private static boolean isCa(KeyEntry entry) {
        return entry.kid == Constants.KID_CA && entry.isPresent();
    }

    private short putKeyReference(short end, KeyEntry entry) {
        byte[] b = ram.buffer;
        b[end++] = (byte) 0x83;
        b[end++] = 2;
        b[end++] = entry.kid;
        b[end++] = entry.kvn;
        return end;
    }

    private short getObject(StoredObject object, short length) {
        requireReader();
        requireNoData(length);
        requirePresent(object);
        return object.readAll(ram.buffer, (short) 0);
    }

    /** Only terminals may read; enrollment checks what it wrote by means of the manifest. */
    private void requireReader() {
        if (!ram.inChannel() || ram.role() == Transients.PERSONALISATION) {
            ISOException.throwIt(Constants.SW_SECURITY_STATUS);
        }
    }

    private static void requireNoData(short length) {
        if (length != 0) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }
    }

    private static void requirePresent(StoredObject object) {
        if (!object.isPresent()) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
    }

    private StoredObject requireInParts() {
        StoredObject object = records.inParts(ram.tag());
        Tlv.require(object != null);
        return object;
    }

    /** READ BINARY with odd INS, ISO/IEC 7816-4, 11.3.3: an offset data object in, discretionary data out. */
    short getPart(short length) {
        requireReader();
        StoredObject object = requireInParts();
        Tlv.require(length == (short) (OFFSET.length + 2));
        Tlv.literal(ram.buffer, (short) 0, length, OFFSET);
        requirePresent(object);
        short offset = Util.getShort(ram.buffer, (short) OFFSET.length);

        // EXECUTION STEPS
        // 1. "If the offset is outside", an empty part; an offset above 7FFF reads as negative and is outside too.
        short n = offset < 0 ? 0 : (short) (object.length() - offset);
        n = n < 0 ? 0 : (n > Constants.PART ? Constants.PART : n);
        ram.buffer[0] = DATA;
        short end = Tlv.putLength(ram.buffer, (short) 1, n);
        return n == 0 ? end : object.read(offset, ram.buffer, end, n);
    }

    /** UPDATE BINARY with odd INS, ISO/IEC 7816-4, 11.3.5, into the copy that is not in force. */
    void putPart(short length) {
        byte[] b = ram.buffer;
        requireWriter();
        StoredObject object = requireInParts();
        short data = Tlv.literal(b, (short) 0, length, OFFSET);
        Tlv.require(length > (short) (data + 2));
        short at = Util.getShort(b, data);
        data = (short) (data + 2);
        Tlv.require(Tlv.skip(b, data, length, DATA) == length);
        data = Tlv.enter(b, data, length, DATA);
        short n = (short) (length - data);
        Tlv.require(n <= Constants.PART);
        if (at < 0 || n > (short) (object.capacity() - at)) {
            ISOException.throwIt(Constants.SW_NO_ROOM);
        }
        boolean next = ram.session[Transients.PART_TAG] == ram.transport[Transients.P2]
            && Util.getShort(ram.session, Transients.PART_NEXT) == at;
        Tlv.require(at == 0 || next);

        // EXECUTION STEPS
        // 1. Write, and remember in RAM where the next part begins: an interrupted series has to start over.
        object.stage(at, b, data, n);
        ram.session[Transients.PART_TAG] = ram.transport[Transients.P2];
        Util.setShort(ram.session, Transients.PART_NEXT, (short) (at + n));
    }

    /** PUT DATA, ISO/IEC 7816-4, 11.4.6. Each object is replaced as a whole or not at all. */
    void putData(short length) {
        requireWriter();
        switch (ram.tag()) {
            case Constants.TAG_RECORD:
                putWhole(records.record, length);
                return;
            case Constants.TAG_DETAILS:
            case Constants.TAG_PORTRAIT:
                commit(requireInParts(), length);
                return;
            case Constants.TAG_IDENTITY_CERTIFICATE:
                requireRole(ram.role() != Transients.WRITE);
                putIdentityCertificate(length);
                return;
            case Constants.TAG_MODE:
                requireRole(ram.role() == Transients.PERSONALISATION);
                putMode(length);
                return;
            case Constants.TAG_DATE:
                requireRole(ram.role() == Transients.ADMIN);
                dates.setBack(length);
                return;
            default:
                ISOException.throwIt(Constants.SW_WRONG_DATA);
        }
    }

    private void requireWriter() {
        requireRole(ram.role() != Transients.READ);
    }

    private static void requireRole(boolean held) {
        if (!held) {
            ISOException.throwIt(Constants.SW_SECURITY_STATUS);
        }
    }

    private void putWhole(StoredObject object, short length) {
        Tlv.require(length != 0);
        if (length > object.capacity()) {
            ISOException.throwIt(Constants.SW_NO_ROOM);
        }
        object.put(ram.buffer, (short) 0, length);
    }

    private void putIdentityCertificate(short length) {
        if (length > Constants.CERTIFICATE) {
            ISOException.throwIt(Constants.SW_NO_ROOM);
        }
        Tlv.require(keys.identity().isPresent());
        certificate.requireKey((short) 0, length, keys.identity().inForce());
        records.identityCertificate.put(ram.buffer, (short) 0, length);
    }

    private void putMode(short length) {
        if (length != Records.MODE_LENGTH) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }
        Tlv.require(ram.buffer[0] == 0 || ram.buffer[0] == 1);
        records.mode.put(ram.buffer, (short) 0, length);
    }

    /** `80 length(2), 81 SHA-256`: verifies the object that was put in parts, then puts it in force. */
    private void commit(StoredObject object, short length) {
        byte[] b = ram.buffer;
        short p = Tlv.literal(b, (short) 0, length, COMMIT_LENGTH);
        Tlv.require(length == (short) (p + 2 + COMMIT_HASH.length + Constants.HASH));
        short total = Util.getShort(b, p);
        short hash = Tlv.literal(b, (short) (p + 2), length, COMMIT_HASH);
        Tlv.require(ram.session[Transients.PART_TAG] == ram.transport[Transients.P2]
            && Util.getShort(ram.session, Transients.PART_NEXT) == total);
        object.hashStaged(total, ec, b, length);
        Tlv.require(Util.arrayCompare(b, hash, b, length, Constants.HASH) == 0);
        ram.session[Transients.PART_TAG] = 0;
        object.commit(total);
    }
}
