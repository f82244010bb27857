package rollcall.applet;

import javacard.framework.APDU;
import javacard.framework.APDUException;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * Reassembles commands from pieces (chaining, extended length) and sends answers in pieces (GET RESPONSE), without
  * interpreting their contents.
 *
 * Specification: docs/protocol.md, "Transport".
 */
final class Transport {

    private static final short SHORT_ANSWER = 256;

    private final Transients ram;

    Transport(Transients ram) {
        this.ram = ram;
    }

    /** Stores the header of a piece, without its chaining bits. */
    void open(byte[] apdu, boolean isPso) {
        byte[] t = ram.transport;
        Util.arrayCopyNonAtomic(apdu, ISO7816.OFFSET_CLA, t, Transients.HEADER, (short) 4);
        t[Transients.HEADER] &= (byte) ~Constants.CLA_CHAINING;
        if (isPso) {
            t[Transients.P1] &= 0x7F;
        }
    }

    /** Whether a chain is open that this piece does not belong to. */
    boolean breaksChain() {
        return isChainOpen() && Util.arrayCompare(
            ram.transport, Transients.HEADER, ram.transport, Transients.CHAIN_HEADER, (short) 4) != 0;
    }

    boolean isChainOpen() {
        return ram.transport[Transients.CHAIN_OPEN] != 0;
    }

    void dropChain() {
        ram.transport[Transients.CHAIN_OPEN] = 0;
        ram.lengths[Transients.RECEIVED] = 0;
    }

    /** Drops the rest of an answer waiting for GET RESPONSE; this frees the buffer for the next command. */
    void dropAnswer() {
        ram.lengths[Transients.ANSWER_LEFT] = 0;
    }

    /**
      * Appends the data of this piece to the previous ones; false when they get too long. The platform splits the data
      * as it likes, so each part is copied before the next one overwrites it. Data that is too long is still received,
      * so that no reader is left in the middle of a command.
     */
    boolean receive(APDU apdu) {
        ram.transport[Transients.EXTENDED] = 0;
        short n = receiveFirst(apdu);
        if (n == 0) {
            return true;
        }
        short offset = apdu.getOffsetCdata();
        if (offset == ISO7816.OFFSET_EXT_CDATA) {
            ram.transport[Transients.EXTENDED] = 1;
        }
        boolean fits = true;
        short end = ram.lengths[Transients.RECEIVED];
        while (n > 0) {
            fits &= n <= (short) (Transients.BUFFER - end);
            if (fits) {
                end = Util.arrayCopyNonAtomic(apdu.getBuffer(), offset, ram.buffer, end, n);
            }
            // From this offset, even the smallest APDU buffer a card may have holds a whole block.
            offset = ISO7816.OFFSET_CDATA;
            n = apdu.receiveBytes(offset);
        }
        ram.lengths[Transients.RECEIVED] = end;
        return fits;
    }

    /**
      * Receives the first data and returns its length, 0 when there is none. The header does not tell the cases of
      * ISO/IEC 7816-3, 12.1.3 apart: P3 is Lc in one and Le in another. With T=0 a card would wait for Le bytes that
      * never come, so a plain GET DATA receives data only for the two tags that take any. With other protocols the
      * platform knows the case: if there is no data, some return 0 and some throw (API, APDU.setIncomingAndReceive:
      * cases 3 and 4 only).
     */
    private short receiveFirst(APDU apdu) {
        if ((APDU.getProtocol() & APDU.PROTOCOL_TYPE_MASK) == APDU.PROTOCOL_T0 && takesNoData()) {
            return 0;
        }
        try {
            return apdu.setIncomingAndReceive();
        } catch (APDUException none) {
            // A broken connection may also end up here: its answer reaches nobody, and without data only public
            // commands run. A command aborted by the reader must not run at all.
            if (none.getReason() == APDUException.T1_IFD_ABORT) {
                throw none;
            }
            return 0;
        }
    }

    private boolean takesNoData() {
        short tag = ram.tag();
        return ram.transport[Transients.INS] == Constants.INS_GET_DATA
            && (ram.transport[Transients.HEADER] & Constants.CLA_SECURE) == 0
            && tag != Constants.TAG_ECKA_CERTIFICATE && tag != Constants.TAG_CA_LOOKUP;
    }

    void continueChain() {
        byte[] t = ram.transport;
        Util.arrayCopyNonAtomic(t, Transients.HEADER, t, Transients.CHAIN_HEADER, (short) 4);
        t[Transients.CHAIN_OPEN] = 1;
    }

    /** Ends the chain, if any, and returns the length of the command. */
    short complete() {
        short length = ram.lengths[Transients.RECEIVED];
        ram.transport[Transients.CHAINED] = ram.transport[Transients.CHAIN_OPEN];
        dropChain();
        return length;
    }

    /** Sends the first {@code length} bytes of the buffer: all at once for an extended APDU, else in pieces. */
    void answer(APDU apdu, short length) {
        ram.lengths[Transients.ANSWER_NEXT] = 0;
        ram.lengths[Transients.ANSWER_LEFT] = length;
        if (length > 0) {
            sendPiece(apdu, ram.transport[Transients.EXTENDED] != 0);
        }
    }

    /** GET RESPONSE, ISO/IEC 7816-4, 11.8.1. */
    void getResponse(APDU apdu) {
        if (ram.lengths[Transients.ANSWER_LEFT] == 0) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
        sendPiece(apdu, false);
    }

    private void sendPiece(APDU apdu, boolean whole) {
        short left = ram.lengths[Transients.ANSWER_LEFT];
        short next = ram.lengths[Transients.ANSWER_NEXT];
        short le = apdu.setOutgoing();
        short n = whole ? left : (le <= 0 || le > SHORT_ANSWER ? SHORT_ANSWER : le);
        if (n > left) {
            n = left;
        }
        apdu.setOutgoingLength(n);
        apdu.sendBytesLong(ram.buffer, next, n);
        left = (short) (left - n);
        ram.lengths[Transients.ANSWER_NEXT] = (short) (next + n);
        ram.lengths[Transients.ANSWER_LEFT] = left;
        if (left > 0) {
            // "61xx: xx bytes still available"; 00 when 256 or more are.
            ISOException.throwIt((short) (Constants.SW_MORE_DATA | (left >= SHORT_ANSWER ? 0 : left)));
        }
    }
}
