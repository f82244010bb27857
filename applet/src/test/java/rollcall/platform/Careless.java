package rollcall.platform;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/** An applet that relies on what only the simulator allows; each instruction is one mistake of that kind. */
public final class Careless extends Applet {

    static final int ORDER_BY_SIGN = 0x10;
    static final int RECEIVE_ALWAYS = 0x11;
    static final int FIRST_PIECE_ONLY = 0x12;
    static final int ALL_AT_ONE_PLACE = 0x13;
    static final int HEADER_AFTER_SENDING = 0x14;
    static final int LONG_ANSWER = 0x15;
    static final int SEND_WITHOUT_LENGTH = 0x16;
    static final int BROKEN_PROMISE = 0x17;
    static final int KEEP = 0x18;
    static final int TELL_KEPT = 0x19;
    static final int FAIL_IN_TRANSACTION = 0x1A;
    static final int TELL_STORED = 0x1B;
    static final int LEAVE_TRANSACTION = 0x1C;
    static final int WRITE_MUCH = 0x1D;
    static final int RECEIVE_BEYOND = 0x1E;
    static final int TELL_LE = 0x1F;
    static final int LENGTH_BEFORE_RECEIVING = 0x20;
    static final int RECEIVE_TWICE = 0x21;
    static final int STORE = 0x22;
    static final int NESTED = 0x23;

    private static final short MUCH = 2000;

    private final byte[] kept = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
    private final byte[] stored = new byte[2];
    private final byte[] much = new byte[MUCH];
    private byte field;

    public static void install(byte[] parameters, short offset, byte length) {
        new Careless().register();
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] b = apdu.getBuffer();
        switch (b[ISO7816.OFFSET_INS]) {
            case ORDER_BY_SIGN -> tell(apdu, orderBySign());
            case RECEIVE_ALWAYS -> tell(apdu, apdu.setIncomingAndReceive());
            case FIRST_PIECE_ONLY -> tell(apdu, sum(b, apdu.setIncomingAndReceive()));
            case ALL_AT_ONE_PLACE -> tell(apdu, allAtOnePlace(apdu));
            case HEADER_AFTER_SENDING -> headerAfterSending(apdu);
            case LONG_ANSWER -> send(apdu, (short) 300, (short) 300);
            case SEND_WITHOUT_LENGTH -> apdu.sendBytes((short) 0, (short) 1);
            case BROKEN_PROMISE -> send(apdu, (short) 2, (short) 1);
            case KEEP -> kept[0] = b[ISO7816.OFFSET_P1];
            case TELL_KEPT -> tell(apdu, kept[0]);
            case STORE -> store(b[ISO7816.OFFSET_P1]);
            case FAIL_IN_TRANSACTION -> {
                JCSystem.beginTransaction();
                store(b[ISO7816.OFFSET_P1]);
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
            case LEAVE_TRANSACTION -> {
                JCSystem.beginTransaction();
                store(b[ISO7816.OFFSET_P1]);
            }
            case NESTED -> {
                JCSystem.beginTransaction();
                JCSystem.beginTransaction();
            }
            case TELL_STORED -> tell(apdu, (short) (stored[0] + stored[1] + field));
            case WRITE_MUCH -> {
                JCSystem.beginTransaction();
                Util.arrayFill(much, (short) 0, MUCH, b[ISO7816.OFFSET_P1]);
                Util.arrayFill(much, (short) 0, MUCH, b[ISO7816.OFFSET_P1]);
                JCSystem.commitTransaction();
            }
            case RECEIVE_BEYOND -> {
                apdu.setIncomingAndReceive();
                apdu.receiveBytes((short) b.length);
            }
            case TELL_LE -> tell(apdu, (short) 0);
            case LENGTH_BEFORE_RECEIVING -> tell(apdu, apdu.getIncomingLength());
            case RECEIVE_TWICE -> {
                apdu.setIncomingAndReceive();
                apdu.setIncomingAndReceive();
            }
            default -> ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    private static short orderBySign() {
        byte[] low = {0x01};
        byte[] high = {(byte) 0x80};
        return Util.arrayCompare(low, (short) 0, high, (short) 0, (short) 1);
    }

    private static short sum(byte[] b, short n) {
        short sum = 0;
        for (short i = 0; i < n; i++) {
            sum += b[ISO7816.OFFSET_CDATA + i];
        }
        return sum;
    }

    /** Receives every piece at the same offset, as if later pieces were appended to earlier ones. */
    private static short allAtOnePlace(APDU apdu) {
        short n = apdu.setIncomingAndReceive();
        short more = n;
        while (more > 0) {
            more = apdu.receiveBytes(ISO7816.OFFSET_CDATA);
        }
        return sum(apdu.getBuffer(), n);
    }

    private static void headerAfterSending(APDU apdu) {
        apdu.setOutgoing();
        apdu.setOutgoingLength((short) 1);
        apdu.sendBytesLong(new byte[1], (short) 0, (short) 1);
        ISOException.throwIt((short) (ISO7816.SW_BYTES_REMAINING_00 | apdu.getBuffer()[ISO7816.OFFSET_P1] & 0xFF));
    }

    private static void send(APDU apdu, short promised, short sent) {
        apdu.setOutgoing();
        apdu.setOutgoingLength(promised);
        apdu.sendBytesLong(new byte[sent], (short) 0, sent);
    }

    private void store(byte value) {
        Util.arrayFill(stored, (short) 0, (short) 1, value);
        stored[1] = value;
        field = value;
    }

    /** Answers with the value, then with what setOutgoing returned. */
    private static void tell(APDU apdu, short value) {
        short le = apdu.setOutgoing();
        apdu.setOutgoingLength((short) 4);
        Util.setShort(apdu.getBuffer(), (short) 0, value);
        Util.setShort(apdu.getBuffer(), (short) 2, le);
        apdu.sendBytes((short) 0, (short) 4);
    }

    /** Creates more objects at installation than the commit capacity allows. */
    public static final class ManyObjects extends Applet {

        private static final int MANY = 250;
        private final Object[] all = new Object[MANY];

        public static void install(byte[] parameters, short offset, byte length) {
            ManyObjects applet = new ManyObjects();
            for (short i = 0; i < MANY; i++) {
                applet.all[i] = new byte[1];
            }
            applet.register();
        }

        @Override
        public void process(APDU apdu) {
            // Never reached.
        }
    }

    /** Allocates more clear-on-deselect memory than there is. */
    public static final class MuchMemory extends Applet {

        private final byte[] much = JCSystem.makeTransientByteArray((short) (Ledger.RAM + 1), JCSystem.CLEAR_ON_DESELECT);

        public static void install(byte[] parameters, short offset, byte length) {
            new MuchMemory().register();
        }

        @Override
        public void process(APDU apdu) {
            much[0] = 0;
        }
    }
}
