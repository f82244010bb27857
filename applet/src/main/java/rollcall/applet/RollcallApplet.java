package rollcall.applet;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacardx.apdu.ExtendedLength;

/**
 * The token. This class decides which command may run at all, in the order: class, instruction, session and MAC, life
 * cycle; the handlers go on with role, P1 P2, length and data.
 */
public class RollcallApplet extends Applet implements ExtendedLength {

    private static final byte CLA_FIRST = 0x00;
    private static final byte CLA_PROPRIETARY = (byte) 0x80;
    private static final byte CLA_PROPRIETARY_SECURE = (byte) 0x84;
    private static final short START_KEYS = 48;
    private static final byte MORE_FOLLOWS = (byte) 0x80;

    private final Transients ram;
    private final Transport transport;
    private final SecureMessaging messaging;
    private final Lifecycle life;
    private final Selection selection;
    private final Scp03 scp03;
    private final Scp11 scp11;
    private final Dates dates;
    private final DataCommands data;
    private final KeyCommands keyCommands;
    private final StatusCommand status;
    private final Proof proof;

    /** @param startKeys the SCP03 start keys at {@code offset}, ENC, MAC, DEK; null for the test keys */
    RollcallApplet(Persistent store, Ec ec, byte[] startKeys, short offset) {
        ram = new Transients();
        transport = new Transport(ram);
        messaging = new SecureMessaging(ram);
        Keys keys = new Keys(store);
        Scp03Keys scp03Keys = new Scp03Keys(store, startKeys, offset);
        Records records = new Records(store, ram);
        Certificate certificate = new Certificate(ram, ec);
        UseCounter counter = new UseCounter(store);
        life = new Lifecycle(store, keys, scp03Keys, records, counter);
        selection = new Selection(ram, life, keys, records, ec);
        scp03 = new Scp03(ram, life, scp03Keys, messaging, ec);
        scp11 = new Scp11(ram, life, keys, records, messaging, ec, store, certificate);
        dates = new Dates(ram, records);
        data = new DataCommands(ram, life, keys, records, dates, ec, certificate);
        keyCommands = new KeyCommands(ram, keys, scp03Keys, records, messaging, ec, certificate, scp11);
        Manifest manifest = new Manifest(ram, ec, keys, scp03Keys, records, messaging);
        status = new StatusCommand(ram, life, keys, records, manifest, certificate, dates);
        proof = new Proof(ram, keys, records, counter, ec);
    }

    /** Install parameters: nothing, or the start keys as ENC, MAC, DEK in the applet data. */
    public static void install(byte[] parameters, short offset, byte length) {
        short keys = startKeys(parameters, offset);
        new RollcallApplet(new Persistent(), new Ec(), keys < 0 ? null : parameters, keys < 0 ? 0 : keys).register();
    }

    /** Finds the start keys in `length, AID, length, control, length, data`; -1 when there are none. */
    static short startKeys(byte[] parameters, short offset) {
        short p = (short) (offset + 1 + parameters[offset]);
        p = (short) (p + 1 + parameters[p]);
        short n = (short) (parameters[p] & 0xFF);
        if (n != 0 && n != START_KEYS) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }
        return n == 0 ? -1 : (short) (p + 1);
    }

    /** On the basic logical channel only: there is one session. The platform answers 6999 to a SELECT on another. */
    public boolean select() {
        return JCSystem.getAssignedChannel() == 0;
    }

    public void deselect() {
        wipe();
    }

    public void process(APDU apdu) {
        try {
            byte[] b = apdu.getBuffer();
            if (b[ISO7816.OFFSET_CLA] == CLA_FIRST && b[ISO7816.OFFSET_INS] == Constants.INS_SELECT) {
                processSelect(apdu);
            } else if (life.isTerminated()) {
                wipe();
                ISOException.throwIt(Constants.SW_CONDITIONS);
            } else if (isGetResponse(b)) {
                transport.getResponse(apdu);
            } else {
                processPiece(apdu);
            }
        } catch (ISOException refused) {
            throw refused;
        } catch (RuntimeException unforeseen) {
            // A torn write, or an engine that refuses what it should not: nothing of this session is to be trusted.
            wipe();
            ISOException.throwIt(Constants.SW_NO_DIAGNOSIS);
        }
    }

    private void wipe() {
        ram.clearSession();
        messaging.clear();
        transport.dropChain();
        transport.dropAnswer();
    }

    private void refuse(short reason) {
        wipe();
        ISOException.throwIt(reason);
    }

    private void processSelect(APDU apdu) {
        wipe();
        life.resume();
        transport.open(apdu.getBuffer(), false);
        if (!transport.receive(apdu)) {
            refuse(Constants.SW_WRONG_LENGTH);
        }
        transport.answer(apdu, selection.select(transport.complete()));
    }

    private static boolean isGetResponse(byte[] b) {
        return b[ISO7816.OFFSET_INS] == Constants.INS_GET_RESPONSE && isClass(b[ISO7816.OFFSET_CLA]);
    }

    private static boolean isClass(byte cla) {
        return (cla & ~(CLA_PROPRIETARY | Constants.CLA_SECURE)) == 0;
    }

    /** One piece of a command, most often the whole of it. */
    private void processPiece(APDU apdu) {
        byte[] b = apdu.getBuffer();
        byte ins = b[ISO7816.OFFSET_INS];
        boolean isPso = ins == Constants.INS_PERFORM_SECURITY_OPERATION
            && (b[ISO7816.OFFSET_CLA] & ~Constants.CLA_CHAINING) == (CLA_PROPRIETARY & ~Constants.CLA_CHAINING);
        boolean more = (b[ISO7816.OFFSET_CLA] & Constants.CLA_CHAINING) != 0
            || (isPso && (b[ISO7816.OFFSET_P1] & MORE_FOLLOWS) != 0);
        transport.dropAnswer();
        transport.open(b, isPso);
        byte cla = ram.transport[Transients.HEADER];
        short fault = fault(cla, ins);
        boolean startsOver = fault == 0 && (isPso || ins == Constants.INS_INITIALIZE_UPDATE);

        if (transport.breaksChain()) {
            if (!startsOver) {
                refuse(fault != 0 ? fault : Constants.SW_LAST_COMMAND_EXPECTED);
            }
            transport.dropChain();
        }
        boolean first = !transport.isChainOpen();
        if (first && startsOver) {
            wipe();
        } else if (first) {
            admit(cla, ins, fault, more);
        }
        boolean fits = transport.receive(apdu);
        if (ram.transport[Transients.EXTENDED] != 0 && (more || !first)) {
            refuse(Constants.SW_LAST_COMMAND_EXPECTED);
        }
        if (!fits) {
            refuse(Constants.SW_WRONG_LENGTH);
        }
        if (more) {
            transport.continueChain();
        } else {
            transport.answer(apdu, execute(cla, ins, fault, transport.complete()));
        }
    }

    /** 6E00 or 6D00 for what the table has not; 0 for what it has, in plain or under secure messaging. */
    private static short fault(byte cla, byte ins) {
        if (!isClass(cla)) {
            return Constants.SW_CLA;
        }
        switch (ins) {
            case Constants.INS_SELECT:
            case Constants.INS_GET_RESPONSE:
                return Constants.SW_CLA;
            case Constants.INS_PERFORM_SECURITY_OPERATION:
            case Constants.INS_INITIALIZE_UPDATE:
                return cla == CLA_PROPRIETARY ? 0 : Constants.SW_CLA;
            case Constants.INS_AUTHENTICATE:
                return cla == CLA_PROPRIETARY || cla == CLA_PROPRIETARY_SECURE ? 0 : Constants.SW_CLA;
            default:
                return ins == Constants.INS_GET_DATA || needsChannel(ins) ? 0 : Constants.SW_INS;
        }
    }

    private static boolean needsChannel(byte ins) {
        switch (ins) {
            case Constants.INS_INTERNAL_AUTHENTICATE:
            case Constants.INS_GET_DATA_PART:
            case Constants.INS_PUT_DATA_PART:
            case Constants.INS_PUT_DATA:
            case Constants.INS_PUT_KEY:
            case Constants.INS_GENERATE_KEY:
            case Constants.INS_STORE_DATA:
            case Constants.INS_DELETE_KEY:
            case Constants.INS_SET_STATUS:
                return true;
            default:
                return false;
        }
    }

    /** Whether the session lets this command in; what it leaves of the session when not. */
    private void admit(byte cla, byte ins, short fault, boolean more) {
        byte phase = ram.phase();
        boolean channel = phase == Transients.KEYS_AGREED || phase == Transients.CHANNEL;
        boolean secure = (cla & Constants.CLA_SECURE) != 0;
        if (secure && channel && !isExternalAuthenticate(fault, secure, ins)) {
            // A fault waits for the MAC: only a command that the right terminal sent leaves the session.
            if (fault != 0 && (more || !isClass(cla))) {
                refuse(fault);
            }
            return;
        }
        if (fault != 0) {
            refuse(fault);
        }
        if (isExternalAuthenticate(fault, secure, ins)) {
            if (phase != Transients.INITIALIZED) {
                refuse(Constants.SW_CONDITIONS);
            }
            return;
        }
        if (secure || channel || needsChannel(ins)) {
            refuse(Constants.SW_SECURITY_STATUS);
        }
        if (phase == Transients.INITIALIZED) {
            wipe();
        }
    }

    private static boolean isExternalAuthenticate(short fault, boolean secure, byte ins) {
        return fault == 0 && secure && ins == Constants.INS_AUTHENTICATE;
    }

    /** A command that is complete. Returns the length of the answer. */
    private short execute(byte cla, byte ins, short fault, short length) {
        if ((cla & Constants.CLA_SECURE) != 0 && (fault != 0 || ins != Constants.INS_AUTHENTICATE)) {
            return executeSecure(ins, fault, length);
        }
        switch (ins) {
            case Constants.INS_PERFORM_SECURITY_OPERATION:
                scp11.verifyCertificate(length);
                return 0;
            case Constants.INS_INITIALIZE_UPDATE:
                return scp03.initializeUpdate(length);
            case Constants.INS_AUTHENTICATE:
                return authenticate(cla, length);
            default:
                return data.getData(length);
        }
    }

    /** Every refusal wipes: each certificate, ephemeral key and challenge serves one attempt. */
    private short authenticate(byte cla, short length) {
        try {
            if (cla == CLA_PROPRIETARY) {
                return scp11.mutualAuthenticate(length);
            }
            scp03.externalAuthenticate(length);
            return 0;
        } catch (ISOException refused) {
            wipe();
            throw refused;
        }
    }

    private short executeSecure(byte ins, short fault, short length) {
        // 1. The MAC. The first valid one proves that the terminal holds its key, and only then its date counts.
        if (!messaging.verify(length)) {
            refuse(fault != 0 ? fault : Constants.SW_SECURITY_STATUS);
        }
        if (ram.phase() == Transients.KEYS_AGREED) {
            if (!dates.admit()) {
                refuse(fault != 0 ? fault : Constants.SW_CONDITIONS);
            }
            ram.session[Transients.PHASE] = Transients.CHANNEL;
        }
        // 2. The padding.
        short plain = messaging.decrypt(length);
        if (plain < 0) {
            refuse(fault != 0 ? fault : Constants.SW_SECURITY_STATUS);
        }
        if (fault != 0) {
            ISOException.throwIt(fault);
        }
        // 3. The life cycle, then the command; a refusal leaves the session and carries no MAC.
        requireLife(ins);
        return messaging.wrap(handle(ins, plain));
    }

    private void requireLife(byte ins) {
        boolean enrolling = ram.role() == Transients.PERSONALISATION;
        boolean blocked = life.state() == Constants.BLOCKED;
        boolean exempt = ram.role() == Transients.ADMIN ? ins != Constants.INS_INTERNAL_AUTHENTICATE
            : ins == Constants.INS_GET_DATA && DataCommands.isPublic(ram.tag());
        if (enrolling == life.isInUse() || (blocked && !exempt)) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
    }

    private short handle(byte ins, short length) {
        switch (ins) {
            case Constants.INS_GET_DATA:
                return data.getData(length);
            case Constants.INS_GET_DATA_PART:
                return data.getPart(length);
            case Constants.INS_INTERNAL_AUTHENTICATE:
                return proof.internalAuthenticate(length);
            case Constants.INS_PUT_KEY:
                return keyCommands.putKey(length);
            case Constants.INS_GENERATE_KEY:
                return keyCommands.generateKey(length);
            default:
                handleSilent(ins, length);
                return 0;
        }
    }

    private void handleSilent(byte ins, short length) {
        switch (ins) {
            case Constants.INS_PUT_DATA:
                data.putData(length);
                return;
            case Constants.INS_PUT_DATA_PART:
                data.putPart(length);
                return;
            case Constants.INS_STORE_DATA:
                keyCommands.storeData(length);
                return;
            case Constants.INS_DELETE_KEY:
                keyCommands.deleteKey(length);
                return;
            default:
                status.setStatus(length);
        }
    }
}
