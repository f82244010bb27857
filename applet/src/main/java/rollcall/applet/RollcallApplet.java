package rollcall.applet;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacardx.apdu.ExtendedLength;

/**
  * The applet's entry point: receives every APDU and dispatches it. This class decides whether a command may run,
  * checking class, instruction, session and MAC, and life cycle, in that order; the handlers check role, P1 P2, length
  * and data.
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
    // Created by the first command, in this order: see grow().
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
      * Allocates the large persistent memory, the RAM and the start keys. No more, because a card installs in one
      * transaction and cards differ in how much a transaction holds; no less, because the RAM allocated by a torn
      * installation is given back.
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
      * At the first command, creates the keys and handlers one by one, outside any transaction. A card removed
      * meanwhile continues at its next command; the memory allocated by a torn step is lost.
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

    /** The applet data of the install parameters is empty or holds the start keys ENC, MAC, DEK. */
    public static void install(byte[] parameters, short offset, byte length) {
        // The engines are created here, near the bottom of the stack: creating them needs a lot of stack.
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

    /** Basic logical channel only, as there is one session. On any other the platform answers SELECT with 6999. */
    public boolean select() {
        return JCSystem.getAssignedChannel() == 0;
    }

    public void deselect() {
        wipe();
    }

    /** Each step returns before the next one begins, because a card's stack is small. */
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
            // Each certificate, ephemeral key and challenge is good for one attempt only.
            if (attempt) {
                wipe();
            }
            throw refused;
        } catch (RuntimeException unforeseen) {
            // A torn write, or an engine that failed unexpectedly: nothing in this session can be trusted.
            wipe();
            ISOException.throwIt(Constants.SW_NO_DIAGNOSIS);
        }
    }

    /** Receives an APDU; true when it completes a command, which may then run. Rejections are thrown. */
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

    /** Receives one piece of a command, usually all of it; true when it is the last piece. */
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

    /** Checks the command against the session, and wipes the session when the command is rejected. */
    private void admit(byte cla, byte ins, short fault, boolean more) {
        byte phase = ram.phase();
        boolean channel = phase == Transients.KEYS_AGREED || phase == Transients.CHANNEL || phase == Transients.RESUMED;
        boolean secure = (cla & Constants.CLA_SECURE) != 0;
        if (secure && channel && !isExternalAuthenticate(fault, secure, ins)) {
            // The fault is reported after the MAC check: the session survives only a command from the right terminal.
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

    /** 6E00 or 6D00 if the complete command has an unsupported class or instruction, else 0. */
    private short fault() {
        return Instructions.fault(ram.transport[Transients.HEADER], ram.transport[Transients.INS]);
    }

    /** Whether the complete command carries a C-MAC to check here; EXTERNAL AUTHENTICATE checks its own. */
    private boolean isSecured() {
        return (ram.transport[Transients.HEADER] & Constants.CLA_SECURE) != 0
            && (ram.transport[Transients.INS] != Constants.INS_AUTHENTICATE || fault() != 0);
    }

    /** Executes a command sent in plain. Returns the length of the answer. */
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

    /** Verifies and decrypts a command under secure messaging. Returns the length of its plain data. */
    private short open(short length) {
        short fault = fault();
        // 1. The MAC. Only the first valid one proves that the terminal holds its key, so its date counts only then.
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
        // 3. The life cycle. From here on a rejection keeps the session and carries no MAC.
        requireLife(ram.transport[Transients.INS]);
        return plain;
    }

    /** The first command of a resumed channel must be presence; any other ends the session. */
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

    /** Executes a command whose MAC is valid. Returns the length of the answer. */
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
