package javacard.framework;

import rollcall.platform.Exchange;
import rollcall.platform.StrictCard;

/** Shadows the simulator's class of this name on the class path; the behaviour is implemented in {@link Exchange}. */
public final class APDU {

    public static final byte STATE_INITIAL = 0;
    public static final byte STATE_PARTIAL_INCOMING = 1;
    public static final byte STATE_FULL_INCOMING = 2;
    public static final byte STATE_OUTGOING = 3;
    public static final byte STATE_OUTGOING_LENGTH_KNOWN = 4;
    public static final byte STATE_PARTIAL_OUTGOING = 5;
    public static final byte STATE_FULL_OUTGOING = 6;
    public static final byte STATE_ERROR_NO_T0_GETRESPONSE = -1;
    public static final byte STATE_ERROR_T1_IFD_ABORT = -2;
    public static final byte STATE_ERROR_IO = -3;
    public static final byte STATE_ERROR_NO_T0_REISSUE = -4;
    public static final byte PROTOCOL_MEDIA_MASK = (byte) 0xF0;
    public static final byte PROTOCOL_TYPE_MASK = 0x0F;
    public static final byte PROTOCOL_T0 = 0;
    public static final byte PROTOCOL_T1 = 1;
    public static final byte PROTOCOL_MEDIA_DEFAULT = 0;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_A = (byte) 0x80;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_B = (byte) 0x90;
    public static final byte PROTOCOL_MEDIA_USB = (byte) 0xA0;

    private final Exchange exchange;

    public APDU(Exchange exchange) {
        this.exchange = exchange;
    }

    public byte[] getBuffer() {
        return exchange.buffer();
    }

    public static short getInBlockSize() {
        return StrictCard.current().exchange().blockSize();
    }

    public static short getOutBlockSize() {
        return StrictCard.current().exchange().blockSize();
    }

    public static byte getProtocol() {
        return Exchange.protocol();
    }

    public byte getNAD() {
        return 0;
    }

    public short setOutgoing() {
        return exchange.setOutgoing();
    }

    public short setOutgoingNoChaining() {
        return exchange.setOutgoing();
    }

    public void setOutgoingLength(short length) {
        exchange.setOutgoingLength(length);
    }

    public short receiveBytes(short offset) {
        return exchange.receiveBytes(offset);
    }

    public short setIncomingAndReceive() {
        return exchange.setIncomingAndReceive();
    }

    public void sendBytes(short offset, short length) {
        exchange.sendBytes(offset, length);
    }

    public void sendBytesLong(byte[] from, short offset, short length) {
        exchange.sendBytesLong(from, offset, length);
    }

    public void setOutgoingAndSend(short offset, short length) {
        exchange.setOutgoingAndSend(offset, length);
    }

    public byte getCurrentState() {
        return exchange.state();
    }

    public static APDU getCurrentAPDU() {
        return StrictCard.current().processing();
    }

    public static byte[] getCurrentAPDUBuffer() {
        return getCurrentAPDU().getBuffer();
    }

    public static byte getCLAChannel() {
        return StrictCard.current().exchange().channel();
    }

    public static void waitExtension() {
        // This platform does not model time.
    }

    public boolean isCommandChainingCLA() {
        return (exchange.buffer()[0] & 0x10) != 0;
    }

    public boolean isSecureMessagingCLA() {
        byte cla = exchange.buffer()[0];
        return (cla & 0x40) == 0 ? (cla & 0x0C) != 0 : (cla & 0x20) != 0;
    }

    public boolean isISOInterindustryCLA() {
        return (exchange.buffer()[0] & 0x80) == 0;
    }

    public boolean isValidCLA() {
        return exchange.buffer()[0] != -1;
    }

    public short getIncomingLength() {
        return exchange.incomingLength();
    }

    public short getOffsetCdata() {
        return exchange.offsetCdata();
    }
}
