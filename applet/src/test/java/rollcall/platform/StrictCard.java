package rollcall.platform;

import java.util.LinkedHashMap;
import java.util.Map;
import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISOException;

/**
  * A card platform that behaves like the reference implementation of Java Card 3.0.5 and real cards where the simulator
  * is more lenient: selection, logical channels, transactions, a small APDU buffer and data in pieces. It uses only the
  * cryptography of the simulator. The classes APDU, Applet, JCSystem and Util of `javacard.framework` in the test
  * classes delegate to it; the class path must name them before the simulator.
 */
public final class StrictCard {

    /** Nothing is selected on this channel. */
    static final int NOT_SELECTED = 0x6999;
    private static final int WRONG_LENGTH = 0x6700;
    private static final int IS_ACTIVE_ELSEWHERE = 0x6985;
    private static final int WRONG_P1_P2 = 0x6A86;
    private static final int NOT_SUPPORTED = 0x6A81;
    private static final int NO_SECURE_MESSAGING = 0x6882;
    private static final int WAS_CLOSED = 0x6200;
    private static final int ONE_BYTE = 0x6C01;
    private static final int NO_DIAGNOSIS = 0x6F00;
    private static final int OK = 0x9000;
    private static final int CHAINING = 0x10;
    private static final int MANAGE_CHANNEL = 0x70;
    private static final int CLOSE = 0x80;
    private static final int SELECT = 0xA4;
    private static final int LEAST_AID = 5;
    private static final int MOST_AID = 16;

    private static final ThreadLocal<StrictCard> CURRENT = new ThreadLocal<>();

    private Profile profile;
    private final Memory memory = new Memory();
    private final Transaction transaction = new Transaction(memory);
    private final Map<AID, Applet> applets = new LinkedHashMap<>();
    private final Applet domain;
    private byte[] buffer;
    /** The applet selected on each open channel. */
    private final Map<Integer, Applet> channels = new LinkedHashMap<>();
    private AID installing;
    private Exchange exchange;
    private APDU processing;
    private Applet selecting;
    private int channel;
    private Applet installed;
    private int sizeOfMemory;

    public StrictCard(Profile profile) {
        use(profile);
        CURRENT.set(this);
        domain = new IssuerDomain();
        applets.put(new AID(IssuerDomain.AID, (short) 0, (byte) IssuerDomain.AID.length), domain);
        channels.put(0, domain);
    }

    /** Makes the card deliver data as this profile says. */
    public void use(Profile other) {
        profile = other;
        buffer = new byte[other.buffer()];
    }

    /** The card running on this thread, or the one that ran last. */
    public static StrictCard current() {
        return CURRENT.get();
    }

    public static void conditionalWrite(byte[] to, short length) {
        StrictCard card = CURRENT.get();
        if (card != null) {
            card.transaction.conditionalWrite(to, length);
        }
    }

    public Memory memory() {
        return memory;
    }

    public Transaction transaction() {
        return transaction;
    }

    public Exchange exchange() {
        return exchange;
    }

    /** The memory used by the installed applet so far. */
    public Ledger ledger() {
        return new Ledger(memory, installed);
    }

    /** The command being processed; the API gives no access to it outside process(). */
    public APDU processing() {
        if (processing == null) {
            throw new SecurityException("no command is being processed");
        }
        return processing;
    }

    public byte assignedChannel() {
        return (byte) channel;
    }

    public AID selectedAid() {
        return applets.entrySet().stream().filter(e -> e.getValue() == channels.get(channel)).map(Map.Entry::getKey)
            .findFirst().orElse(null);
    }

    public AID lookup(byte[] aid, short offset, byte length) {
        return applets.keySet().stream().filter(each -> each.equals(aid, offset, length)).findFirst().orElse(null);
    }

    public boolean isActive(AID aid) {
        return channels.containsValue(applets.get(aid));
    }

    public boolean isSelecting(Applet applet) {
        return selecting == applet;
    }

    /** @throws SecurityException outside an installation */
    public void register(Applet applet, AID aid) {
        if (installing == null) {
            throw new SecurityException("nothing is being installed");
        }
        applets.put(aid == null ? installing : aid, applet);
        installing = null;
    }

    /**
     * INSTALL [for install]: one transaction.
     *
      * @throws IllegalStateException if it needs more memory than the reference implementation has; commands that
      * allocate
      *     later throw it too
     */
    public void install(byte[] aid, Class<? extends Applet> type, byte[] parameters) {
        CURRENT.set(this);
        installing = new AID(aid, (short) 0, (byte) aid.length);
        AID name = installing;
        transaction.setInstalling(true);
        try {
            type.getMethod("install", byte[].class, short.class, byte.class)
                .invoke(null, parameters, (short) 0, (byte) parameters.length);
        } catch (ReflectiveOperationException failure) {
            throw new IllegalStateException("the installation failed", failure.getCause());
        } finally {
            transaction.setInstalling(false);
        }
        installed = applets.get(name);
        ledger().requireCapacity();
        requireMemory();
    }

    /** Checked only when something was allocated. */
    private void requireMemory() {
        if (memory.size() != sizeOfMemory && installed != null) {
            sizeOfMemory = memory.size();
            ledger().requireMemory();
        }
    }

    /** Power off, power on, and reset. */
    public void reset() {
        CURRENT.set(this);
        transaction.close();
        memory.reset();
        channels.clear();
        channels.put(0, domain);
    }

    public byte[] transmit(byte[] apdu) {
        CURRENT.set(this);
        Command command = Command.of(apdu);
        if (command == null) {
            return status(WRONG_LENGTH);
        }
        channel = Channels.of(command.cla());
        exchange = new Exchange(profile, command, channel, buffer);
        boolean isInterindustry = Channels.isInterindustry(command.cla());
        Applet found = isInterindustry && isSelect(command) ? find(command.data()) : null;
        if (found != null) {
            return select(found);
        }
        if (!channels.containsKey(channel)) {
            return status(Channels.closed(command.cla()));
        }
        if (isInterindustry && command.ins() == MANAGE_CHANNEL) {
            return manageChannel(command);
        }
        Applet selected = channels.get(channel);
        return selected == null ? status(NOT_SELECTED) : process(selected);
    }

    /** SELECT by name, first or only occurrence. The platform does not handle it with secure messaging or chaining. */
    private static boolean isSelect(Command command) {
        return command.ins() == SELECT && command.p1() == 4 && command.p2() == 0 && !Channels.isSecure(command.cla())
            && (command.cla() & CHAINING) == 0;
    }

    private static byte[] status(int status) {
        return new byte[] {(byte) (status >> 8), (byte) status};
    }

    /** Finds an applet by its whole name, else by a prefix of it; the one on the card longest comes first. */
    private Applet find(byte[] name) {
        if (name.length < LEAST_AID || name.length > MOST_AID) {
            return null;
        }
        for (Map.Entry<AID, Applet> each : applets.entrySet()) {
            if (each.getKey().equals(name, (short) 0, (byte) name.length)) {
                return each.getValue();
            }
        }
        for (Map.Entry<AID, Applet> each : applets.entrySet()) {
            if (each.getKey().partialEquals(name, (short) 0, (byte) name.length)) {
                return each.getValue();
            }
        }
        return null;
    }

    /** Selects an applet on the current channel, which is opened if necessary. */
    private byte[] select(Applet next) {
        open(channel);
        for (Map.Entry<Integer, Applet> each : channels.entrySet()) {
            // Our applets are not MultiSelectable.
            if (each.getKey() != channel && each.getValue() == next && next != domain) {
                return status(IS_ACTIVE_ELSEWHERE);
            }
        }
        deselect(channel);
        channels.put(channel, null);
        selecting = next;
        try {
            transaction.enter(next);
            if (!accepts(next)) {
                memory.deselect();
                return status(NOT_SELECTED);
            }
            channels.put(channel, next);
            return process(next);
        } finally {
            selecting = null;
        }
    }

    private boolean accepts(Applet applet) {
        try {
            return applet.select();
        } catch (RuntimeException refused) {
            return false;
        } finally {
            transaction.close();
        }
    }

    private void deselect(int from) {
        Applet last = channels.get(from);
        if (last == null) {
            return;
        }
        try {
            transaction.enter(last);
            last.deselect();
        } catch (RuntimeException ignored) {
            // A platform continues whatever the applet throws.
        } finally {
            transaction.close();
        }
        if (last != domain) {
            memory.deselect();
        }
    }

    private byte[] process(Applet applet) {
        processing = new APDU(exchange);
        transaction.enter(applet);
        try {
            applet.process(processing);
            boolean leftOpen = transaction.close();
            return leftOpen || !exchange.isWhole() ? status(NO_DIAGNOSIS) : exchange.answer(OK);
        } catch (ISOException told) {
            return exchange.isWhole() ? exchange.answer(told.getReason() & 0xFFFF) : status(NO_DIAGNOSIS);
        } catch (RuntimeException unforeseen) {
            return status(NO_DIAGNOSIS);
        } finally {
            processing = null;
            transaction.close();
            requireMemory();
        }
    }

    /** MANAGE CHANNEL, ISO/IEC 7816-4, 11.1.2: opening and closing. */
    private byte[] manageChannel(Command command) {
        int number = command.p2();
        if (Channels.isSecure(command.cla())) {
            return status(NO_SECURE_MESSAGING);
        }
        if (command.p1() == 0 && number == 0) {
            return openAny(command);
        }
        if (command.p1() == 0) {
            return status(number <= Channels.LAST && open(number) ? OK : WRONG_P1_P2);
        }
        if (command.p1() != CLOSE || number == 0) {
            return status(NOT_SUPPORTED);
        }
        if (!channels.containsKey(number)) {
            return status(WAS_CLOSED);
        }
        deselect(number);
        channels.remove(number);
        return status(OK);
    }

    private byte[] openAny(Command command) {
        if (command.le() != 1) {
            return status(ONE_BYTE);
        }
        for (int number = 1; number <= Channels.LAST; number++) {
            if (open(number)) {
                return new byte[] {(byte) number, (byte) (OK >> 8), 0};
            }
        }
        return status(NOT_SUPPORTED);
    }

    /** Opens a channel with nothing selected on it; false if it is open already. */
    private boolean open(int number) {
        boolean isFree = !channels.containsKey(number);
        if (isFree) {
            channels.put(number, null);
        }
        return isFree;
    }
}
