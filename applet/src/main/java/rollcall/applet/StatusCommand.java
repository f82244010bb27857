package rollcall.applet;

import javacard.framework.ISOException;

/**
  * SET STATUS, GP Card Specification, 11.10: changes the life cycle state, at enrollment or by an administrator.
 *
 * Specification: docs/protocol.md, "SET STATUS".
 */
final class StatusCommand {

    private static final byte APPLICATION = 0x40;

    private final Transients ram;
    private final Lifecycle life;
    private final Keys keys;
    private final Records records;
    private final Manifest manifest;
    private final Certificate certificate;
    private final Dates dates;

    StatusCommand(Transients ram, Lifecycle life, Keys keys, Records records, Manifest manifest,
        Certificate certificate, Dates dates) {
        this.ram = ram;
        this.life = life;
        this.keys = keys;
        this.records = records;
        this.manifest = manifest;
        this.certificate = certificate;
        this.dates = dates;
    }

    /** PRE-CONDITION: a channel; READ and WRITE may not set any state. */
    void setStatus(short length) {
        byte role = ram.role();
        if (role < Transients.ADMIN) {
            ISOException.throwIt(Constants.SW_SECURITY_STATUS);
        }
        byte to = ram.transport[Transients.P2];
        Tlv.require(ram.transport[Transients.P1] == APPLICATION && isState(to));
        if (role == Transients.PERSONALISATION) {
            enroll(to, length);
        } else {
            administer(to, length);
        }
    }

    private static boolean isState(byte state) {
        return state == Constants.BLANK || state == Constants.PERSONALISED || state == Constants.ISSUED
            || state == Constants.BLOCKED || state == Constants.TERMINATED;
    }

    private void enroll(byte to, short length) {
        if (to == Constants.BLANK) {
            requireLength(length, (short) 0);
            life.reset();
            ram.session[Transients.PART_TAG] = 0;
            return;
        }
        require(to == Constants.ISSUED && life.state() == Constants.PERSONALISED && isComplete());
        requireLength(length, Constants.HASH);
        Tlv.require(manifest.matches());

        // EXECUTION STEPS
        // 1. The date starts at the notBefore of the identity certificate.
        short end = records.identityCertificate.readAll(ram.buffer, (short) 0);
        certificate.requireKey((short) 0, end, keys.identity().inForce());
        dates.start(certificate.notBefore());
        // 2. The state last.
        life.set(Constants.ISSUED);
    }

    /** Whether everything that a token in use needs is present, and nothing that its mode forbids. */
    private boolean isComplete() {
        return keys.oldestCa() != null
            && keys.own().isPresent()
            && keys.identity().isPresent()
            && records.mode.isPresent()
            && records.record.isPresent()
            && records.identityCertificate.isPresent()
            && records.isPrivate() == (keys.oldestSet() != null);
    }

    private void administer(byte to, short length) {
        byte from = life.state();
        boolean block = from == Constants.ISSUED && to == Constants.BLOCKED;
        boolean unblock = from == Constants.BLOCKED && to == Constants.ISSUED;
        require(block || unblock || to == Constants.TERMINATED);
        requireLength(length, (short) 0);
        if (to == Constants.TERMINATED) {
            life.terminate();
        } else {
            life.set(to);
        }
    }

    private static void require(boolean allowed) {
        if (!allowed) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
    }

    private static void requireLength(short length, short expected) {
        if (length != expected) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }
    }
}
