package rollcall.applet;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** Chains of commands in, chains of answers out. What is inside of them is not looked at here. */
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

    /** Appends the data of this piece to those that came before it; false when they get too long. */
    boolean receive(APDU apdu) {
        byte[] b = apdu.getBuffer();
        short n = apdu.setIncomingAndReceive();
        short offset = apdu.getOffsetCdata();
        ram.transport[Transients.EXTENDED] = offset == ISO7816.OFFSET_EXT_CDATA ? (byte) 1 : (byte) 0;
        short end = ram.lengths[Transients.RECEIVED];
        while (n > 0) {
            if (n > (short) (Transients.BUFFER - end)) {
                return false;
            }
            end = Util.arrayCopyNonAtomic(b, offset, ram.buffer, end, n);
            n = apdu.receiveBytes(offset);
        }
        ram.lengths[Transients.RECEIVED] = end;
        return true;
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
