package rollcall.applet;

/**
  * Storage for the certificates of the three ECKA keys and of the identity key, plus one spare place: a new certificate
  * is written to the spare place, and once it is in force the old one's place becomes the spare.
 */
final class CertificateCopies extends Copies {

    private static final byte COUNT = 5;

    CertificateCopies(Persistent store) {
        super(store, Constants.CERTIFICATE, COUNT);
    }

    /** A place not in force for any key: there are five, and the four keys use at most one each. */
    byte free(byte inForce) {
        byte number = 1;
        while (isInForce(number)) {
            number++;
        }
        return number;
    }

    private boolean isInForce(byte number) {
        boolean found = store.get(Records.IDENTITY_CERTIFICATE) == number;
        for (byte i = 0; i < Keys.COUNT; i++) {
            found |= KeyEntry.certificateOf(store.get((byte) (Persistent.KEYS + i))) == number;
        }
        return found;
    }

    /** Zeroes this certificate only; the others stay. */
    void forget(byte number) {
        if (number != 0) {
            zero(number);
        }
    }
}
