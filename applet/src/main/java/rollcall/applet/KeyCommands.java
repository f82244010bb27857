package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * The commands that change keys: PUT KEY, GENERATE KEY, STORE DATA and DELETE KEY.
 *
 * Specification: docs/protocol.md, "PUT KEY"; docs/protocol.md, "GENERATE KEY".
 */
final class KeyCommands {

    /** P2 of PUT KEY for three keys at once, starting at KID 01. */
    private static final byte SCP03_SET = (byte) 0x81;
    private static final byte AES = (byte) 0x88;
    private static final short CHECK_VALUE = 3;

    private static final byte[] EC_POINT = {(byte) 0xB0, 0x41};
    private static final byte[] EC_SCALAR = {(byte) 0xB1, 0x20};
    /** Key parameters reference 00: P-256 (Amendment F, table 4-3), followed by no check value. */
    private static final byte[] P256_UNCHECKED = {(byte) 0xF0, 0x01, 0x00, 0x00};
    private static final byte[] P256_PARAMETERS = {(byte) 0xF0, 0x01, 0x00};
    private static final byte[] KEY_REFERENCE = {(byte) 0xA6, 0x04, (byte) 0x83, 0x02};
    private static final byte[] CERTIFICATE_STORE = {(byte) 0xBF, 0x21};
    private static final byte[] CA_ID_STORE = {(byte) 0xA6, 0x1D, (byte) 0x80, 0x01, 0x00, 0x42, 0x14};
    private static final byte[] VERSION_REFERENCE = {(byte) 0x83, 0x02};
    private static final byte[] DELETE_KID = {(byte) 0xD0, 0x01};
    private static final byte[] DELETE_KVN = {(byte) 0xD2, 0x01};

    private final Transients ram;
    private final Keys keys;
    private final Scp03Keys scp03Keys;
    private final Records records;
    private final SecureMessaging messaging;
    private final Ec ec;
    private final Certificate certificate;
    private final Scp11 scp11;
    private final Slots slots;

    KeyCommands(Transients ram, Keys keys, Scp03Keys scp03Keys, Records records, SecureMessaging messaging, Ec ec,
        Certificate certificate, Scp11 scp11, Slots slots) {
        this.ram = ram;
        this.keys = keys;
        this.scp03Keys = scp03Keys;
        this.records = records;
        this.messaging = messaging;
        this.ec = ec;
        this.certificate = certificate;
        this.scp11 = scp11;
        this.slots = slots;
    }

    /** Keys may be changed at enrollment, or by an administrator (a role held only under the token's own key). */
    private void requireKeeper() {
        requireRole(ram.role() >= Transients.ADMIN);
    }

    private void requirePersonalisation() {
        requireRole(ram.role() == Transients.PERSONALISATION);
    }

    private static void requireRole(boolean held) {
        if (!held) {
            ISOException.throwIt(Constants.SW_SECURITY_STATUS);
        }
    }

    /** P1 names the key version to replace: 0 for none, or the same version as the new key. */
    private void requireOldVersion(byte kvn) {
        Tlv.require(ram.transport[Transients.P1] == 0 || ram.transport[Transients.P1] == kvn);
    }

    /** The entry for a key in the table; 6A80 for any other key. */
    private KeyEntry place(byte kid, byte kvn) {
        KeyEntry entry = keys.place(kid, kvn);
        Tlv.require(entry != null);
        requireOldVersion(kvn);
        return entry;
    }

    /** PUT KEY, GP Card Specification, 11.8; EC keys as in Amendment F, 7.3. Returns the length of the answer. */
    short putKey(short length) {
        requireKeeper();
        switch (ram.transport[Transients.P2]) {
            case SCP03_SET:
                requirePersonalisation();
                return putScp03Keys(length);
            case Constants.KID_CA:
                return putCaKey(length);
            case Constants.KID_ECKA:
                return putSetKey(length);
            default:
                ISOException.throwIt(Constants.SW_WRONG_DATA);
                return 0;
        }
    }

    private short putScp03Keys(short length) {
        byte[] b = ram.buffer;
        requireOldVersion(scp03Keys.kvn());
        // GP Card Specification, 11.8.2.3.1: clients differ in whether they send the length of the clear key.
        short entry = (short) ((short) (length - 1) / Scp03Keys.KEYS);
        boolean longForm = entry == 23;
        Tlv.require((short) (entry * Scp03Keys.KEYS + 1) == length && (longForm || entry == 22)
            && b[0] == Constants.KVN_TOKEN);

        // EXECUTION STEPS
        // 1. Decrypt all keys, one after another, behind the data, and verify the check value of each.
        short plain = (short) (length + Constants.BLOCK);
        for (byte i = 0; i < Scp03Keys.KEYS; i++) {
            short at = (short) (1 + i * entry);
            readAesKey(at, longForm, (short) (plain + i * Constants.KEY));
            Util.arrayCopyNonAtomic(
                b, (short) (at + entry - CHECK_VALUE), b, (short) (1 + i * CHECK_VALUE), CHECK_VALUE);
        }
        // 2. Put them in force; any change of keys ends all resumptions. A BLANK token is PERSONALISED from here on.
        // The
        //    session continues with its current keys.
        slots.clear();
        scp03Keys.replace(b, plain);
        Util.arrayFillNonAtomic(b, plain, (short) (Scp03Keys.KEYS * Constants.KEY), (byte) 0);
        return (short) (1 + Scp03Keys.KEYS * CHECK_VALUE);
    }

    private void readAesKey(short at, boolean longForm, short plain) {
        byte[] b = ram.buffer;
        short p = at;
        Tlv.require(b[p++] == AES);
        if (longForm) {
            Tlv.require(b[p++] == (byte) (Constants.KEY + 1));
        }
        Tlv.require(b[p++] == (byte) Constants.KEY);
        messaging.decryptUnderDek(p, Constants.KEY, plain);
        p = (short) (p + Constants.KEY);
        Tlv.require(b[p++] == (byte) CHECK_VALUE);
        // The check value is computed where the next key will be decrypted to, or after the last key.
        short computed = (short) (plain + Constants.KEY);
        messaging.checkValue(plain, computed);
        Tlv.require(Util.arrayCompare(b, p, b, computed, CHECK_VALUE) == 0);
    }

    private short putCaKey(short length) {
        byte[] b = ram.buffer;
        Tlv.require(length > 0);
        KeyEntry entry = place(Constants.KID_CA, b[0]);
        short point = Tlv.literal(b, (short) 1, length, EC_POINT);
        Tlv.require(length == (short) (point + Constants.POINT + P256_UNCHECKED.length));
        Tlv.literal(b, (short) (point + Constants.POINT), length, P256_UNCHECKED);
        Tlv.require(scp11.isOnCurve(point, length));

        // EXECUTION STEPS
        // 1. Fill the other copy, then switch to it.
        slots.clear();
        entry.other().importPoint(b, point);
        entry.switchOver(keys.sibling(entry));
        return 1;
    }

    private short putSetKey(short length) {
        byte[] b = ram.buffer;
        // Anyone who recorded an enrollment under test keys knows every key sent over it.
        if (!records.isPrivate() || scp03Keys.areTestKeys) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
        Tlv.require(length > 0 && b[0] != Constants.KVN_OWN);
        KeyEntry entry = place(Constants.KID_ECKA, b[0]);
        short scalar = Tlv.literal(b, (short) 1, length, EC_SCALAR);
        Tlv.require(length == (short) (scalar + Constants.SCALAR + P256_UNCHECKED.length));
        Tlv.literal(b, (short) (scalar + Constants.SCALAR), length, P256_UNCHECKED);
        messaging.decryptUnderDek(scalar, Constants.SCALAR, scalar);
        Tlv.require(P256.isScalar(b, scalar));

        // EXECUTION STEPS
        // 1. Fill the other copy; it waits for its certificate.
        slots.clear();
        entry.beginFilling();
        entry.other().importScalar(ec, b, scalar, length);
        entry.awaitCertificate();
        Util.arrayFillNonAtomic(b, scalar, Constants.SCALAR, (byte) 0);
        return 1;
    }

    /** GENERATE KEY, as in the successors of Amendment F: the private key never leaves the card. */
    short generateKey(short length) {
        requireKeeper();
        byte kid = ram.transport[Transients.P2];
        requireRole(kid != Constants.KID_IDENTITY || ram.role() == Transients.PERSONALISATION);
        byte[] b = ram.buffer;
        Tlv.require(length == (short) (1 + P256_PARAMETERS.length));
        Tlv.literal(b, (short) 1, length, P256_PARAMETERS);
        boolean generated = kid == Constants.KID_IDENTITY
            || (kid == Constants.KID_ECKA && b[0] == Constants.KVN_OWN);
        Tlv.require(generated);
        KeyEntry entry = place(kid, b[0]);

        // EXECUTION STEPS
        // 1. A random scalar instead of a generated pair, so that no two simulators have the same keys.
        // 2. An identity key is in force at once; an ECKA key waits for its certificate.
        slots.clear();
        entry.beginFilling();
        EcKey key = entry.other();
        ec.randomScalar(b, (short) 0);
        key.importScalar(ec, b, (short) 0, Constants.SCALAR);
        Util.arrayFillNonAtomic(b, (short) 0, Constants.SCALAR, (byte) 0);
        if (kid == Constants.KID_IDENTITY) {
            // Any certificate present is for the key being replaced.
            records.identityCertificate.remove();
            entry.switchOver(null);
        } else {
            entry.awaitCertificate();
        }
        short end = Util.arrayCopyNonAtomic(EC_POINT, (short) 0, b, (short) 0, (short) EC_POINT.length);
        return (short) (end + key.point.getW(b, end));
    }

    /** STORE DATA, GP Card Specification, 11.11; contents as in Amendment F, 7.4. */
    void storeData(short length) {
        requireKeeper();
        byte[] b = ram.buffer;
        Tlv.require(ram.tag() == (short) 0x9000 && length > 1);
        if (b[1] == CA_ID_STORE[1]) {
            storeCaId(length);
        } else {
            storeCertificate(length);
        }
    }

    private void storeCertificate(short length) {
        byte[] b = ram.buffer;
        short p = Tlv.literal(b, (short) 0, length, KEY_REFERENCE);
        Tlv.require((short) (length - p) >= 2 && b[p] == Constants.KID_ECKA);
        byte kvn = b[(short) (p + 1)];
        p = Tlv.literal(b, (short) (p + 2), length, CERTIFICATE_STORE);
        short der = Tlv.contents(b, p, length);
        Tlv.require((short) (der + Tlv.length(b, p)) == length);
        KeyEntry entry = keys.place(Constants.KID_ECKA, kvn);
        if (entry == null || !(entry.isPending() || entry.isPresent())) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
        short n = (short) (length - der);
        if (n > Constants.CERTIFICATE) {
            ISOException.throwIt(Constants.SW_NO_ROOM);
        }
        certificate.requireKey(der, n, entry.isPending() ? entry.other() : entry.inForce());

        // EXECUTION STEPS
        // 1. Put the certificate in force, together with the key that was waiting for it, if any.
        slots.clear();
        entry.certify(b, der, n, keys.sibling(entry));
    }

    /** The identifier is derived from the key, so nothing is stored; a wrong one is rejected. */
    private void storeCaId(short length) {
        byte[] b = ram.buffer;
        short id = Tlv.literal(b, (short) 0, length, CA_ID_STORE);
        Tlv.require(length == (short) (id + Constants.CA_ID + VERSION_REFERENCE.length + 2));
        short p = Tlv.literal(b, (short) (id + Constants.CA_ID), length, VERSION_REFERENCE);
        Tlv.require(b[p] == Constants.KID_CA);
        KeyEntry entry = keys.find(Constants.KID_CA, b[(short) (p + 1)]);
        if (entry == null) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
        ec.caId(entry.inForce().point, b, length, b, length);
        Tlv.require(Util.arrayCompare(b, id, b, length, Constants.CA_ID) == 0);
    }

    /** DELETE [key], GP Card Specification, 11.2. */
    void deleteKey(short length) {
        requireKeeper();
        byte[] b = ram.buffer;
        Tlv.require(ram.tag() == 0);
        short p = Tlv.literal(b, (short) 0, length, DELETE_KID);
        Tlv.require(p < length);
        byte kid = b[p];
        p = Tlv.literal(b, (short) (p + 1), length, DELETE_KVN);
        Tlv.require((short) (p + 1) == length);
        Tlv.require(kid == Constants.KID_CA || kid == Constants.KID_ECKA || kid == Constants.KID_IDENTITY);
        KeyEntry entry = keys.find(kid, b[p]);
        if (entry == null) {
            ISOException.throwIt(Constants.SW_REFERENCE_NOT_FOUND);
        }
        // The token must stay reachable: its own key, the identity key, the last CA key and the last set key stay.
        KeyEntry sibling = keys.sibling(entry);
        if (sibling == null || !sibling.isPresent()) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }

        // EXECUTION STEPS
        // 1. One write takes the key out of force; then its remains are cleared.
        slots.clear();
        entry.remove();
    }
}
