package rollcall.applet;

/**
 * The certificates of the three ECKA keys and of the identity key, and room for one more: a new one is written there before
 * it comes into force, and the room of the old one is free then.
 */
final class CertificateCopies extends Copies {

    private static final byte COUNT = 5;

    CertificateCopies(Persistent store) {
        super(store, Constants.CERTIFICATE, COUNT);
    }

    /** One that nobody has in force: four have one each. */
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

    /** The others stay. */
    void forget(byte number) {
        if (number != 0) {
            zero(number);
        }
    }
}
