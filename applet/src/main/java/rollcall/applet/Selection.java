package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * SELECT and its answer, which shows the state of the token and the keys a terminal needs for the handshake.
 *
 * Specification: docs/protocol.md, "SELECT".
 */
final class Selection {

    private static final byte[] SCP11A = {(byte) 0x80, 0x02, 0x01, 0x00};
    private static final short SET_ID = 8;
    private static final short CA_ID_START = 8;

    private final Transients ram;
    private final Lifecycle life;
    private final Keys keys;
    private final Records records;
    private final Ec ec;

    Selection(Transients ram, Lifecycle life, Keys keys, Records records, Ec ec) {
        this.ram = ram;
        this.life = life;
        this.keys = keys;
        this.records = records;
        this.ec = ec;
    }

    /**
     * SELECT by DF name, ISO/IEC 7816-4, 11.2.2.
     *
      * PRE-CONDITION: the session is wiped, and anything interrupted by a tear has been finished.
     */
    short select(short length) {
        Tlv.require(ram.tag() == (short) 0x0400);
        // A card may select by a partial AID; accepting only the full AID is easier to reason about.
        if (length != (short) Constants.AID.length
            || Util.arrayCompare(ram.buffer, (short) 0, Constants.AID, (short) 0, length) != 0) {
            ISOException.throwIt(Constants.SW_NOT_FOUND);
        }

        // EXECUTION STEPS
        // 1. Build the file control information: 6F { 84 AID, A5 {...} }, inner parts first.
        byte[] b = ram.buffer;
        short proprietary = (short) (4 + Constants.AID.length);
        short end = putProprietary((short) (proprietary + 2));
        b[0] = 0x6F;
        b[1] = (byte) (end - 2);
        b[2] = (byte) 0x84;
        b[3] = (byte) Constants.AID.length;
        Util.arrayCopyNonAtomic(Constants.AID, (short) 0, b, (short) 4, (short) Constants.AID.length);
        b[proprietary] = (byte) 0xA5;
        b[(short) (proprietary + 1)] = (byte) (end - proprietary - 2);

        // 2. Keep it: the channel binding covers this answer.
        ram.selected[0] = (byte) end;
        Util.arrayCopyNonAtomic(b, (short) 0, ram.selected, (short) 1, end);
        return end;
    }

    private short putProprietary(short end) {
        byte[] b = ram.buffer;
        boolean isPrivate = records.isPrivate();
        KeyEntry ecka = isPrivate ? keys.oldestSet() : (keys.own().isPresent() ? keys.own() : null);
        end = Util.arrayCopyNonAtomic(SCP11A, (short) 0, b, end, (short) SCP11A.length);
        end = put(end, (byte) 0x81, shownState(isPrivate));
        end = put(end, (byte) 0x82, ecka == null ? 0 : ecka.kvn);
        end = putCaId(end);
        if (!life.isInUse()) {
            return end;
        }
        if (isPrivate) {
            b[end++] = (byte) 0x84;
            b[end++] = (byte) SET_ID;
            ecka.hashCertificate(ec, b, end);
            return (short) (end + SET_ID);
        }
        b[end++] = (byte) 0x85;
        b[end++] = (byte) Constants.TOKEN_ID;
        return records.readTokenId(b, end);
    }

    private short put(short end, byte tag, byte value) {
        ram.buffer[end++] = tag;
        ram.buffer[end++] = 1;
        ram.buffer[end++] = value;
        return end;
    }

    /** In private mode a blocked token looks like any other token of its set. */
    private byte shownState(boolean isPrivate) {
        return isPrivate && life.isInUse() ? Constants.ISSUED : life.state();
    }

    private short putCaId(short end) {
        byte[] b = ram.buffer;
        KeyEntry ca = keys.oldestCa();
        b[end++] = (byte) 0x83;
        b[end++] = (byte) CA_ID_START;
        if (ca == null) {
            Util.arrayFillNonAtomic(b, end, CA_ID_START, (byte) 0);
        } else {
            ec.caId(ca.inForce().point, b, end, b, end);
        }
        return (short) (end + CA_ID_START);
    }
}
