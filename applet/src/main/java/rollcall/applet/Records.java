package rollcall.applet;

import javacard.framework.Util;

/** The token's data objects, and access to the mode and token id stored in the first of them. */
final class Records {

    static final short MODE_LENGTH = 17;
    /** Index of the state byte that names the identity key's certificate in force. */
    static final byte IDENTITY_CERTIFICATE = Persistent.OBJECTS + 4;
    private static final byte PRIVATE = 1;

    /** `01 00`: mode and token id. */
    final StoredObject mode;
    final StoredObject record;
    final StoredObject details;
    final StoredObject portrait;
    final StoredObject identityCertificate;
    final Copies certificates;
    /** `01 04`: the card's date: the highest notBefore seen, within limits. A card has no clock. */
    final StoredObject date;
    private final Transients ram;

    Records(Persistent store, Transients ram) {
        this.ram = ram;
        certificates = new CertificateCopies(store);
        mode = new StoredObject(
            store, Constants.TAG_MODE, Persistent.OBJECTS, new Copies(store, MODE_LENGTH, Copies.TWO));
        record = new StoredObject(
            store, Constants.TAG_RECORD, (byte) (Persistent.OBJECTS + 1), new Copies(store, Constants.RECORD, Copies.TWO));
        details = new StoredObject(
            store, Constants.TAG_DETAILS, (byte) (Persistent.OBJECTS + 2), new Copies(store, Constants.DETAILS, Copies.TWO));
        portrait = new StoredObject(
            store, Constants.TAG_PORTRAIT, (byte) (Persistent.OBJECTS + 3), new Copies(store, Constants.PORTRAIT, Copies.TWO));
        identityCertificate =
            new StoredObject(store, Constants.TAG_IDENTITY_CERTIFICATE, IDENTITY_CERTIFICATE, certificates);
        date = new StoredObject(
            store, Constants.TAG_DATE, (byte) (Persistent.OBJECTS + 5), new Copies(store, Constants.DATE, Copies.TWO));
    }

    /** A token whose mode has not been set counts as open. */
    boolean isPrivate() {
        if (!mode.isPresent()) {
            return false;
        }
        mode.read((short) 0, ram.session, Transients.SCRATCH, (short) 1);
        return ram.session[Transients.SCRATCH] == PRIVATE;
    }

    /** Writes the token id and returns the offset after it. */
    short readTokenId(byte[] to, short offset) {
        return mode.read((short) 1, to, offset, Constants.TOKEN_ID);
    }

    /** Writes the record, padded with zeros so that the length of an answer does not reveal the length of a name. */
    short readRecord(byte[] to, short offset) {
        short end = record.readAll(to, offset);
        return Util.arrayFillNonAtomic(to, end, (short) (offset + Constants.RECORD - end), (byte) 0);
    }

    /** The object with this tag that is read and written in parts; null for any other tag. */
    StoredObject inParts(short tag) {
        if (tag == Constants.TAG_DETAILS) {
            return details;
        }
        return tag == Constants.TAG_PORTRAIT ? portrait : null;
    }

    void remove() {
        mode.remove();
        record.remove();
        details.remove();
        portrait.remove();
        identityCertificate.remove();
        certificates.zero();
        date.remove();
    }
}
