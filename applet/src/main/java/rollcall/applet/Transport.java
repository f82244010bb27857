package rollcall.applet;

import javacard.framework.APDU;
import javacard.framework.APDUException;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * Chains of commands in, chains of answers out. What is inside of them is not looked at here.
 *
 * Specification: docs/protocol.md, "Transport".
 */
final class Transport {

    private static final short SHORT_ANSWER = 256;

    private final Transients ram;

    Transport(Transients ram) {
        this.ram = ram;
    }

    /** Takes the header of a piece, without its chaining bits. */
    void open(byte[] apdu, boolean isPso) {
        byte[] t = ram.transport;
        Util.arrayCopyNonAtomic(apdu, ISO7816.OFFSET_CLA, t, Transients.HEADER, (short) 4);
        t[Transients.HEADER] &= (byte) ~Constants.CLA_CHAINING;
        if (isPso) {
            t[Transients.P1] &= 0x7F;
        }
    }

    /** Whether a chain is open, of which this piece is no part. */
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

    /** Drops what waits for GET RESPONSE; the buffer is free for the next command. */
    void dropAnswer() {
        ram.lengths[Transients.ANSWER_LEFT] = 0;
    }

    /**
     * Appends the data of this piece to those that came before it; false when they get too long. The platform cuts them
     * as it likes: every part is taken before the next one overwrites it, and what is too long is received all the same,
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
            // From here on the smallest buffer that a card may have holds a whole block.
            offset = ISO7816.OFFSET_CDATA;
            n = apdu.receiveBytes(offset);
        }
        ram.lengths[Transients.RECEIVED] = end;
        return fits;
    }

    /**
     * The length of the first data, 0 when there are none. No header tells the cases of ISO/IEC 7816-3, 12.1.3 apart: P3
     * is Lc in one and Le in another. With T=0 a card would wait for Le bytes that never come, so there GET DATA in plain
     * is asked for data only with the two tags that take some. With every other protocol the platform knows the case:
     * where it is one without data, some return 0 and some throw (API, APDU.setIncomingAndReceive: cases 3 and 4 only).
     */
    private short receiveFirst(APDU apdu) {
        if ((APDU.getProtocol() & APDU.PROTOCOL_TYPE_MASK) == APDU.PROTOCOL_T0 && takesNoData()) {
            return 0;
        }
        try {
            return apdu.setIncomingAndReceive();
        } catch (APDUException none) {
            // A line that broke may end here too: its answer reaches nobody, and without data nothing is carried out
            // but what is public. What a reader aborted is no command.
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

    /** Ends the chain if there is one, and returns the length of the command. */
    short complete() {
        short length = ram.lengths[Transients.RECEIVED];
        ram.transport[Transients.CHAINED] = ram.transport[Transients.CHAIN_OPEN];
        dropChain();
        return length;
    }

    /** Sends the first {@code length} bytes of the buffer: at once to an extended APDU, else piece by piece. */
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
