package rollcall.applet;

import java.lang.reflect.Field;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import javacard.security.AESKey;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.Key;
import rollcall.bridge.SimulatedCard;

/** A test card that counts persistent writes, can tear one of them, and draws scripted random numbers. */
final class WatchedCard {

    static final int NEVER = -1;

    private static Memory installed;
    private static WatchedApplet applet;
    private static Queue<byte[]> script;
    private final Memory memory;
    private final WatchedApplet watched;
    private final Queue<byte[]> randoms;
    final SimulatedCard card;

    /** @param installRandoms random bytes the card draws at its first command, used where the lengths match */
    WatchedCard(byte[] startKeys, byte[]... installRandoms) {
        randoms = new ArrayDeque<>(List.of(installRandoms));
        script = randoms;
        card = new SimulatedCard(WatchedApplet.class, startKeys);
        memory = installed;
        watched = applet;
        memory.writes = 0;
    }

    byte[] transmit(byte[] command) {
        return card.transmit(command);
    }

    /** The card's resumption slots. */
    Slots slots() {
        try {
            Field field = RollcallApplet.class.getDeclaredField("slots");
            field.setAccessible(true);
            return (Slots) field.get(watched);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Sets the random bytes the card draws next, used when it requests exactly this many. */
    void draw(byte[] random) {
        randoms.add(random);
    }

    int writes() {
        return memory.writes;
    }

    void countFromZero() {
        memory.writes = 0;
    }

    /** Tears the n-th write from now on: none of it happens, or half of it if it is more than one byte. */
    void tear(int n, boolean half) {
        memory.writes = 0;
        memory.half = half;
        memory.tornWrite = n;
    }

    boolean wasTorn() {
        return memory.tornWrite != NEVER && memory.writes > memory.tornWrite;
    }

    /** What a reader does with a card put back: powers it up. */
    void putBack() {
        memory.tornWrite = NEVER;
        card.reset();
    }

    public static final class WatchedApplet extends RollcallApplet {

        private WatchedApplet(Persistent store, Ec ec, byte[] startKeys, short offset) {
            super(store, ec, new SecureMessaging(new Transients()), startKeys, offset);
        }

        public static void install(byte[] parameters, short offset, byte length) {
            installed = new Memory();
            short keys = startKeys(parameters, offset);
            applet = new WatchedApplet(
                installed, new ScriptedEc(script), keys < 0 ? null : parameters, keys < 0 ? 0 : keys);
            applet.register();
        }
    }

    private static final class ScriptedEc extends Ec {

        private final Queue<byte[]> script;

        ScriptedEc(Queue<byte[]> script) {
            this.script = script;
        }

        @Override
        void random(byte[] to, short offset, short length) {
            if (script.isEmpty() || script.peek().length != length) {
                super.random(to, offset, length);
            } else {
                System.arraycopy(script.remove(), 0, to, offset, length);
            }
        }
    }

    /** Persistent memory that counts its writes and tears one of them. */
    static final class Memory extends Persistent {

        int writes;
        int tornWrite = NEVER;
        boolean half;

        /** True when this write is the one to tear. */
        private boolean isTorn() {
            return writes++ == tornWrite;
        }

        private void beforeWhole() {
            if (isTorn()) {
                throw new TornWrite();
            }
        }

        @Override
        void step() {
            beforeWhole();
        }

        @Override
        void set(byte index, byte value) {
            beforeWhole();
            super.set(index, value);
        }

        @Override
        void copy(byte[] from, short fromOffset, byte[] to, short toOffset, short length) {
            if (isTorn()) {
                super.copy(from, fromOffset, to, toOffset, (short) (half ? length / 2 : 0));
                throw new TornWrite();
            }
            super.copy(from, fromOffset, to, toOffset, length);
        }

        @Override
        void writeShort(byte[] to, short offset, short value) {
            if (isTorn()) {
                to[offset] = half ? (byte) (value >> 8) : to[offset];
                throw new TornWrite();
            }
            super.writeShort(to, offset, value);
        }

        @Override
        void zero(byte[] to) {
            if (isTorn()) {
                java.util.Arrays.fill(to, 0, half ? to.length / 2 : 0, (byte) 0);
                throw new TornWrite();
            }
            super.zero(to);
        }

        @Override
        void put(byte[] to, short offset, byte value) {
            beforeWhole();
            super.put(to, offset, value);
        }

        @Override
        void zero(byte[] to, short offset, short length) {
            if (isTorn()) {
                super.zero(to, offset, (short) (half ? length / 2 : 0));
                throw new TornWrite();
            }
            super.zero(to, offset, length);
        }

        @Override
        void aesKey(AESKey key, byte[] from, short offset) {
            beforeWhole();
            super.aesKey(key, from, offset);
        }

        @Override
        void privateKey(ECPrivateKey key, byte[] from, short offset) {
            beforeWhole();
            super.privateKey(key, from, offset);
        }

        @Override
        void publicKey(ECPublicKey key, byte[] from, short offset) {
            beforeWhole();
            super.publicKey(key, from, offset);
        }

        @Override
        void clear(Key key) {
            beforeWhole();
            super.clear(key);
        }
    }
}
