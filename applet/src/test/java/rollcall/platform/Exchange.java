package rollcall.platform;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import javacard.framework.APDU;
import javacard.framework.APDUException;

/**
  * One command and its answer, as an applet sees them through {@link APDU}: data arrives piece by piece in a small
  * buffer, and calls must come in the right order (Java Card API 3.0.4, class APDU). Each piece overwrites the buffer,
  * and whatever the API does not promise to be there is noise.
 */
public final class Exchange {

    private static final byte NOISE = (byte) 0xA5;
    private static final int SHORT_ANSWER = 256;
    private static final int LONGEST = 32767;
    private static final int SHORT_DATA = 5;
    private static final int EXTENDED_DATA = 7;

    /** Under T=0 the card waits for as many bytes as P3 says, but the reader has none: only a reset ends that. */
    public static final class Deadlock extends Error {

        private static final long serialVersionUID = 1;
    }

    private final Profile profile;
    private final Command command;
    private final int channel;
    private final byte[] buffer;
    private final ByteArrayOutputStream sent = new ByteArrayOutputStream();
    private byte state = APDU.STATE_INITIAL;
    private int received;
    private int promised;

    Exchange(Profile profile, Command command, int channel, byte[] buffer) {
        this.profile = profile;
        this.command = command;
        this.channel = channel;
        this.buffer = buffer;
        Arrays.fill(buffer, NOISE);
        System.arraycopy(command.header(), 0, buffer, 0, SHORT_DATA);
    }

    public byte[] buffer() {
        return buffer;
    }

    public byte state() {
        return state;
    }

    public byte channel() {
        return (byte) channel;
    }

    public static byte protocol() {
        return StrictCard.current().exchange().profile.isT0() ? APDU.PROTOCOL_T0 : APDU.PROTOCOL_T1;
    }

    /** The most bytes one call can deliver. */
    public short blockSize() {
        return (short) Math.min(profile.piece(), profile.buffer() - SHORT_DATA);
    }

    private static void require(boolean allowed, short reason) {
        if (!allowed) {
            APDUException.throwIt(reason);
        }
    }

    private int dataOffset() {
        return command.isExtended() ? EXTENDED_DATA : SHORT_DATA;
    }

    public short setIncomingAndReceive() {
        require(state == APDU.STATE_INITIAL, APDUException.ILLEGAL_USE);
        if (profile.isT0() && command.data().length == 0) {
            if (command.le() > 0) {
                throw new Deadlock();
            }
            state = APDU.STATE_FULL_INCOMING;
            return 0;
        }
        // Cases 1, 2 and 2E have no data to receive.
        require(command.data().length > 0, APDUException.IO_ERROR);
        if (command.isExtended()) {
            buffer[SHORT_DATA] = (byte) (command.data().length >> 8);
            buffer[SHORT_DATA + 1] = (byte) command.data().length;
        }
        return receive(dataOffset());
    }

    public short receiveBytes(short offset) {
        require(state == APDU.STATE_PARTIAL_INCOMING || state == APDU.STATE_FULL_INCOMING, APDUException.ILLEGAL_USE);
        require(offset >= 0 && offset < buffer.length, APDUException.BUFFER_BOUNDS);
        return receive(offset);
    }

    private short receive(int offset) {
        int n = Math.min(Math.min(profile.piece(), command.data().length - received), buffer.length - offset);
        if (n > 0) {
            Arrays.fill(buffer, offset, buffer.length, NOISE);
            System.arraycopy(command.data(), received, buffer, offset, n);
            received += n;
        }
        state = received < command.data().length ? APDU.STATE_PARTIAL_INCOMING : APDU.STATE_FULL_INCOMING;
        return (short) n;
    }

    private void requireIncoming() {
        require(state == APDU.STATE_PARTIAL_INCOMING || state == APDU.STATE_FULL_INCOMING, APDUException.ILLEGAL_USE);
    }

    public short incomingLength() {
        requireIncoming();
        return (short) command.data().length;
    }

    public short offsetCdata() {
        requireIncoming();
        return (short) dataOffset();
    }

    /** For a command without Le the reference implementation returns 256. */
    public short setOutgoing() {
        require(state < APDU.STATE_OUTGOING, APDUException.ILLEGAL_USE);
        state = APDU.STATE_OUTGOING;
        int most = command.isExtended() && command.le() != Command.NO_LE ? LONGEST : SHORT_ANSWER;
        return (short) (command.le() <= 0 ? most : Math.min(command.le(), most));
    }

    public void setOutgoingLength(short length) {
        require(state == APDU.STATE_OUTGOING, APDUException.ILLEGAL_USE);
        int most = command.isExtended() ? LONGEST : command.le() > 0 ? command.le() : SHORT_ANSWER;
        require(length >= 0 && length <= most, APDUException.BAD_LENGTH);
        promised = length;
        state = APDU.STATE_OUTGOING_LENGTH_KNOWN;
    }

    public void sendBytes(short offset, short length) {
        send(buffer, offset, length);
    }

    /** Sends through the buffer, so its contents are lost. */
    public void sendBytesLong(byte[] from, short offset, short length) {
        send(from, offset, length);
        if (from != buffer) {
            Arrays.fill(buffer, NOISE);
        }
    }

    private void send(byte[] from, short offset, short length) {
        require(state == APDU.STATE_OUTGOING_LENGTH_KNOWN || state == APDU.STATE_PARTIAL_OUTGOING,
            APDUException.ILLEGAL_USE);
        require(offset >= 0 && length >= 0 && offset + length <= from.length, APDUException.BUFFER_BOUNDS);
        require(sent.size() + length <= promised, APDUException.ILLEGAL_USE);
        sent.write(from, offset, length);
        state = sent.size() == promised ? APDU.STATE_FULL_OUTGOING : APDU.STATE_PARTIAL_OUTGOING;
    }

    public void setOutgoingAndSend(short offset, short length) {
        setOutgoing();
        setOutgoingLength(length);
        sendBytes(offset, length);
    }

    /** Whether everything promised has been sent. */
    boolean isWhole() {
        return sent.size() == promised;
    }

    byte[] answer(int status) {
        sent.write(status >> 8);
        sent.write(status);
        return sent.toByteArray();
    }
}
