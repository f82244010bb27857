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
 *
 * Specification: docs/protocol.md, "Session"; docs/protocol.md, "Order of checks".
 */
public class RollcallApplet extends Applet implements ExtendedLength {

    private static final byte CLA_FIRST = 0x00;
    private static final byte CLA_PROPRIETARY = (byte) 0x80;
    private static final short START_KEYS = 48;
    private static final byte MORE_FOLLOWS = (byte) 0x80;

    private final Persistent store;
    private final Transients ram;
    private final Transport transport;
    private final Keys keys;
    private final Scp03Keys scp03Keys;
    private final Records records;
    private final UseCounter counter;
    private final Slots slots;
    private final Lifecycle life;
    private final Ec ec;
    private final SecureMessaging messaging;
    private final Certificate certificate;
    private final Scp11 scp11;
    // What the first command makes, in this order: see grow().
    private Scp03 scp03;
    private Selection selection;
    private Dates dates;
    private Resumption resumption;
    private DataCommands data;
    private KeyCommands keyCommands;
    private Manifest manifest;
    private StatusCommand status;
    private Proof proof;

    /**
     * What holds the large memory, the RAM and the start keys. No more: a card installs in one transaction, and how much
     * a transaction holds differs from card to card. No less: what a torn installation made in RAM is given back.
     *
     * @param startKeys the SCP03 start keys at {@code offset}, ENC, MAC, DEK; null for the test keys
     */
    RollcallApplet(Persistent store, Ec ec, SecureMessaging messaging, byte[] startKeys, short offset) {
        this.store = store;
        this.ec = ec;
        this.messaging = messaging;
        ram = messaging.ram;
        transport = new Transport(ram);
        certificate = new Certificate(ram, ec);
        scp03Keys = new Scp03Keys(store, startKeys, offset);
        records = new Records(store, ram);
        keys = new Keys(store, records.certificates);
        counter = new UseCounter(store);
        slots = new Slots(store);
        life = new Lifecycle(store, keys, scp03Keys, records, counter, slots);
        scp11 = new Scp11(ram, life, keys, records, messaging, ec, store, certificate);
    }

    /**
     * At the first command: the keys and the handlers, object by object, outside any transaction. A card that is lifted
     * in between goes on where it was at its next command; what a torn step had made is lost to the card.
     */
    private void grow() {
        keys.grow();
        scp03Keys.grow();
        scp11.grow();
        slots.grow(ec, ram.buffer);
        if (scp03 == null) {
            store.step();
            scp03 = new Scp03(ram, life, scp03Keys, messaging, ec);
        }
        if (selection == null) {
            store.step();
            selection = new Selection(ram, life, keys, records, ec);
        }
        if (dates == null) {
            store.step();
            dates = new Dates(ram, records, slots);
        }
        if (resumption == null) {
            store.step();
            resumption = new Resumption(ram, life, records, counter, slots, messaging, ec);
        }
        if (data == null) {
            store.step();
            data = new DataCommands(ram, life, keys, records, dates, ec, certificate);
        }
        if (keyCommands == null) {
            store.step();
            keyCommands = new KeyCommands(ram, keys, scp03Keys, records, messaging, ec, certificate, scp11,
                slots);
        }
        if (manifest == null) {
            store.step();
            manifest = new Manifest(ram, ec, keys, scp03Keys, records, messaging);
        }
        if (status == null) {
            store.step();
            status = new StatusCommand(ram, life, keys, records, manifest, certificate, dates);
        }
        if (proof == null) {
            store.step();
            proof = new Proof(ram, keys, records, counter, ec, slots);
        }
    }

    /** Install parameters: nothing, or the start keys as ENC, MAC, DEK in the applet data. */
    public static void install(byte[] parameters, short offset, byte length) {
        // The engines are made from here: what makes them needs much of the stack itself.
        create(new SecureMessaging(new Transients()), new Ec(), parameters, startKeys(parameters, offset));
    }

    private static void create(SecureMessaging messaging, Ec ec, byte[] parameters, short keys) {
        new RollcallApplet(new Persistent(), ec, messaging, keys < 0 ? null : parameters, keys).register();
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

    /** Every step returns before the next one begins: the stack of a card is small. */
    public void process(APDU apdu) {
        boolean attempt = false;
        try {
            if (proof == null) {
                grow();
            }
            if (!take(apdu)) {
                return;
            }
            short n = transport.complete();
            if (isSecured()) {
                n = open(n);
                n = handle(n);
                n = messaging.wrap(n);
            } else {
                attempt = ram.transport[Transients.INS] == Constants.INS_AUTHENTICATE
                    || ram.transport[Transients.INS] == Constants.INS_RESUME;
                n = execute(n);
                attempt = false;
            }
            transport.answer(apdu, n);
        } catch (ISOException refused) {
            // Each certificate, ephemeral key and challenge serves one attempt.
            if (attempt) {
                wipe();
            }
            throw refused;
        } catch (RuntimeException unforeseen) {
            // A torn write, or an engine that refuses what it should not: nothing of this session is to be trusted.
            wipe();
            ISOException.throwIt(Constants.SW_NO_DIAGNOSIS);
        }
    }

    /** Takes an APDU; true when a command is complete with it and may run. What is refused leaves by an exception. */
    private boolean take(APDU apdu) {
        byte[] b = apdu.getBuffer();
        if (b[ISO7816.OFFSET_CLA] == CLA_FIRST && b[ISO7816.OFFSET_INS] == Constants.INS_SELECT) {
            takeSelect(apdu);
            return true;
        }
        if (life.isTerminated()) {
            refuse(Constants.SW_CONDITIONS);
        }
        if (isGetResponse(b)) {
            transport.getResponse(apdu);
            return false;
        }
        return takePiece(apdu);
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

    private void takeSelect(APDU apdu) {
        wipe();
        life.resume();
        transport.open(apdu.getBuffer(), false);
        if (!transport.receive(apdu)) {
            refuse(Constants.SW_WRONG_LENGTH);
        }
    }

    private static boolean isGetResponse(byte[] b) {
        return b[ISO7816.OFFSET_INS] == Constants.INS_GET_RESPONSE && Instructions.isClass(b[ISO7816.OFFSET_CLA]);
    }

    /** One piece of a command, most often the whole of it: true when nothing is to follow. */
    private boolean takePiece(APDU apdu) {
        byte[] b = apdu.getBuffer();
        byte ins = b[ISO7816.OFFSET_INS];
        boolean isPso = ins == Constants.INS_PERFORM_SECURITY_OPERATION
            && (b[ISO7816.OFFSET_CLA] & ~Constants.CLA_CHAINING) == (CLA_PROPRIETARY & ~Constants.CLA_CHAINING);
        boolean more = (b[ISO7816.OFFSET_CLA] & Constants.CLA_CHAINING) != 0
            || (isPso && (b[ISO7816.OFFSET_P1] & MORE_FOLLOWS) != 0);
        transport.dropAnswer();
        transport.open(b, isPso);
        byte cla = ram.transport[Transients.HEADER];
        short fault = Instructions.fault(cla, ins);
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
        }
        return !more;
    }

    /** Whether the session lets this command in; what it leaves of the session when not. */
    private void admit(byte cla, byte ins, short fault, boolean more) {
        byte phase = ram.phase();
        boolean channel = phase == Transients.KEYS_AGREED || phase == Transients.CHANNEL || phase == Transients.RESUMED;
        boolean secure = (cla & Constants.CLA_SECURE) != 0;
        if (secure && channel && !isExternalAuthenticate(fault, secure, ins)) {
            // A fault waits for the MAC: only a command that the right terminal sent leaves the session.
            if (fault != 0 && (more || !Instructions.isClass(cla))) {
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
        if (secure || channel || Instructions.needsChannel(ins)) {
            refuse(Constants.SW_SECURITY_STATUS);
        }
        if (ins == Constants.INS_RESUME && phase != Transients.SELECTED) {
            refuse(Constants.SW_CONDITIONS);
        }
        if (phase == Transients.INITIALIZED) {
            wipe();
        }
    }

    private static boolean isExternalAuthenticate(short fault, boolean secure, byte ins) {
        return fault == 0 && secure && ins == Constants.INS_AUTHENTICATE;
    }

    /** What the command that is complete has against it: 6E00, 6D00 or nothing. */
    private short fault() {
        return Instructions.fault(ram.transport[Transients.HEADER], ram.transport[Transients.INS]);
    }

    /** Whether the command that is complete has a C-MAC of its channel; EXTERNAL AUTHENTICATE looks after its own. */
    private boolean isSecured() {
        return (ram.transport[Transients.HEADER] & Constants.CLA_SECURE) != 0
            && (ram.transport[Transients.INS] != Constants.INS_AUTHENTICATE || fault() != 0);
    }

    /** A command in plain. Returns the length of the answer. */
    private short execute(short length) {
        switch (ram.transport[Transients.INS]) {
            case Constants.INS_SELECT:
                return selection.select(length);
            case Constants.INS_PERFORM_SECURITY_OPERATION:
                scp11.verifyCertificate(length);
                return 0;
            case Constants.INS_INITIALIZE_UPDATE:
                return scp03.initializeUpdate(length);
            case Constants.INS_RESUME:
                return resumption.resume(length);
            case Constants.INS_AUTHENTICATE:
                if (ram.transport[Transients.HEADER] == CLA_PROPRIETARY) {
                    return scp11.mutualAuthenticate(length);
                }
                scp03.externalAuthenticate(length);
                return 0;
            default:
                return data.getData(length);
        }
    }

    /** Opens a command under secure messaging and returns the length of its plain data. */
    private short open(short length) {
        short fault = fault();
        // 1. The MAC. The first valid one proves that the terminal holds its key, and only then its date counts.
        if (!messaging.verify(length) | resumption.isDecoy()) {
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
        if (ram.phase() == Transients.RESUMED) {
            requirePresence(fault, plain);
        }
        if (fault != 0) {
            ISOException.throwIt(fault);
        }
        // 3. The life cycle; a refusal from here on leaves the session and carries no MAC.
        requireLife(ram.transport[Transients.INS]);
        return plain;
    }

    /** A resumed channel begins with presence, or ends. */
    private void requirePresence(short fault, short plain) {
        short reason = fault != 0 ? fault : resumption.admit(plain);
        if (reason != 0) {
            refuse(reason);
        }
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

    /** A command whose MAC holds. Returns the length of the answer. */
    private short handle(short length) {
        if (ram.phase() == Transients.RESUMED) {
            return resumption.presence();
        }
        switch (ram.transport[Transients.INS]) {
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
            case Constants.INS_PUT_DATA:
                data.putData(length);
                return 0;
            case Constants.INS_PUT_DATA_PART:
                data.putPart(length);
                return 0;
            case Constants.INS_STORE_DATA:
                keyCommands.storeData(length);
                return 0;
            case Constants.INS_DELETE_KEY:
                keyCommands.deleteKey(length);
                return 0;
            default:
                status.setStatus(length);
                return 0;
        }
    }
}
