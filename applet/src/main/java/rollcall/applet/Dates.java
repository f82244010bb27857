package rollcall.applet;

import javacard.framework.ISOException;

/**
  * The card's date, 12 digits YYMMDDhhmmss compared as bytes. A card has no clock, so it takes the date from
  * certificates.
 *
 * Specification: docs/protocol.md, "The card's date".
 */
final class Dates {

    private static final byte MONTHS_AHEAD = 3;
    private static final byte LAST_DAY = 28;

    private final Transients ram;
    private final StoredObject date;
    private final Slots slots;

    Dates(Transients ram, Records records, Slots slots) {
        this.ram = ram;
        this.slots = slots;
        date = records.date;
    }

    static boolean areDigits(byte[] b, short offset) {
        for (short i = 0; i < Constants.DATE; i++) {
            byte digit = b[(short) (offset + i)];
            if (digit < '0' || digit > '9') {
                return false;
            }
        }
        return true;
    }

    /**
      * Called at the first valid C-MAC. Returns false when the terminal's certificate expired before the card's date.
      * Otherwise the date advances to the certificate's notBefore, but by three months at most, so that one post-dated
      * certificate cannot shut out all others.
     */
    boolean admit() {
        byte[] session = ram.session;
        short now = Transients.DATE;
        date.readAll(session, now);
        if (compare(session, Transients.NOT_AFTER, session, now) < 0) {
            return false;
        }
        if (compare(session, Transients.NOT_BEFORE, session, now) > 0) {
            addMonths(session, now);
            boolean farAhead = compare(session, Transients.NOT_BEFORE, session, now) > 0;
            date.put(session, farAhead ? now : Transients.NOT_BEFORE, Constants.DATE);
        }
        return true;
    }

    private static short compare(byte[] a, short aOffset, byte[] b, short bOffset) {
        return Order.compare(a, aOffset, b, bOffset, Constants.DATE);
    }

    /** Adds three calendar months; the day is capped at 28, which exists in every month. */
    private static void addMonths(byte[] digits, short offset) {
        short month = (short) (value(digits, (short) (offset + 2)) + MONTHS_AHEAD);
        if (month > 12) {
            month -= 12;
            put(digits, offset, (short) (value(digits, offset) + 1));
        }
        put(digits, (short) (offset + 2), month);
        if (value(digits, (short) (offset + 4)) > LAST_DAY) {
            put(digits, (short) (offset + 4), LAST_DAY);
        }
    }

    private static short value(byte[] digits, short offset) {
        return (short) ((digits[offset] - '0') * 10 + digits[(short) (offset + 1)] - '0');
    }

    private static void put(byte[] digits, short offset, short value) {
        digits[offset] = (byte) (value / 10 + '0');
        digits[(short) (offset + 1)] = (byte) (value % 10 + '0');
    }

    /** Sets the date back. Never forward: only a certificate can advance it. */
    void setBack(short length) {
        if (length != Constants.DATE) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }
        Tlv.require(areDigits(ram.buffer, (short) 0) && ram.buffer[0] < '8');
        date.readAll(ram.buffer, Constants.DATE);
        Tlv.require(compare(ram.buffer, (short) 0, ram.buffer, Constants.DATE) <= 0);
        slots.clear();
        date.put(ram.buffer, (short) 0, Constants.DATE);
    }

    void start(short notBefore) {
        date.put(ram.buffer, notBefore, Constants.DATE);
    }
}
