package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;

import java.lang.reflect.Field;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import rollcall.terminal.Answer;
import rollcall.terminal.Bytes;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** The resumption slots in isolation, and the commands that fill and clear them. */
class SlotsTest {

    private static final byte[] DATE = "260101000000".getBytes();

    private final WatchedCard.Memory memory = new WatchedCard.Memory();
    private final Slots slots = made(memory);

    private static Slots made(Persistent memory) {
        Slots slots = new Slots(memory);
        byte[] scratch = new byte[16];
        slots.grow(new Ec(), scratch);
        assertArrayEquals(new byte[16], scratch);
        return slots;
    }

    private static byte[] tid(int terminal) {
        return Bytes.be(0x0102030405060700L + terminal, Slots.TID);
    }

    private static byte[] key(int n) {
        byte[] key = new byte[16];
        Arrays.fill(key, (byte) (0x80 + n));
        return key;
    }

    private void fill(int terminal, int key) {
        slots.fill(cat(of(0), tid(terminal), key(key), of(0), DATE), (short) 1);
    }

    private byte[] keyOf(int terminal) {
        byte[] key = new byte[16];
        byte at = slots.find(tid(terminal), (short) 0);
        slots.readKey(at, key, (short) 0);
        return Slots.isDecoy(at) ? null : key;
    }

    @Test
    void unknownTerminalGetsTheDecoyWhichStays() {
        byte[] decoy = new byte[16];
        slots.readKey(slots.find(tid(1), (short) 0), decoy, (short) 0);
        assertFalse(Arrays.equals(new byte[16], decoy));
        fill(1, 1);
        slots.clear();
        slots.grow(new Ec(), new byte[16]);
        byte[] again = new byte[16];
        slots.readKey(slots.find(new byte[8], (short) 0), again, (short) 0);
        assertArrayEquals(decoy, again);
        slots.readKey(made(new Persistent()).find(tid(1), (short) 0), again, (short) 0);
        slots.destroy();
        slots.readKey(slots.find(tid(1), (short) 0), again, (short) 0);
        assertArrayEquals(new byte[16], again);
    }

    @Test
    void eightTerminalsAndTheNinthTakesTheFirstPlace() {
        for (int i = 0; i < 8; i++) {
            fill(i, i);
        }
        fill(8, 8);
        assertEquals(null, keyOf(0));
        for (int i = 1; i <= 8; i++) {
            assertArrayEquals(key(i), keyOf(i));
        }
    }

    @Test
    void sameTerminalHasOneSlot() {
        for (int i = 0; i < 20; i++) {
            fill(1, i);
            assertArrayEquals(key(i), keyOf(1));
        }
        // The old slot was cleared each time, so clearing one slot ends the only key.
        slots.clear(slots.find(tid(1), (short) 0));
        assertEquals(null, keyOf(1));
    }

    @Test
    void sixtyFourUsesAndNotOneMore() {
        fill(1, 1);
        byte at = slots.find(tid(1), (short) 0);
        for (int left = 63; left >= 0; left--) {
            assertFalse(Slots.isDecoy(slots.find(tid(1), (short) 0)));
            memory.writes = 0;
            assertEquals(left, slots.use(at));
            assertEquals(left == 0 ? 2 : 1, memory.writes);
        }
        assertEquals(null, keyOf(1));
        assertTrue(slots.isExpired(at, DATE, (short) 0), "all of it is gone");
    }

    /** Memory spoiled by a tear, with any of the values it may then read, is not a valid slot. */
    @Test
    void spoiledPageIsNoSlot() throws ReflectiveOperationException {
        Field field = Slots.class.getDeclaredField("slots");
        field.setAccessible(true);
        byte[] memory = (byte[]) field.get(slots);
        byte[] name = new byte[Slots.TID];
        for (byte spoiled : of(0x00, 0x41, 0x80, 0xFF)) {
            Arrays.fill(memory, 0, 37, spoiled);
            Arrays.fill(name, spoiled);
            assertTrue(Slots.isDecoy(slots.find(name, (short) 0)));
        }
    }

    @Test
    void endsWithTheCertificate() {
        fill(1, 1);
        byte at = slots.find(tid(1), (short) 0);
        assertFalse(slots.isExpired(at, DATE, (short) 0));
        assertTrue(slots.isExpired(at, "260101000001".getBytes(), (short) 0));
    }

    @Test
    void writes() {
        memory.writes = 0;
        slots.clear();
        assertEquals(0, memory.writes);
        fill(1, 1);
        assertEquals(4, memory.writes);
        memory.writes = 0;
        fill(1, 2);
        assertEquals(6, memory.writes);
        memory.writes = 0;
        slots.clear();
        assertEquals(2, memory.writes);
    }

    /**
     * After a tear: the former slot, the new one, or none; never a half-written key with uses; no other slot changes.
     */
    @Test
    void tornAtEachWrite() {
        tear(() -> fill(1, 7), found -> found == null || Arrays.equals(found, key(1)) || Arrays.equals(found, key(7)));
        tear(() -> slots.use(slots.find(tid(1), (short) 0)), found -> Arrays.equals(found, key(1)));
        tear(slots::clear, found -> found == null || Arrays.equals(found, key(1)));
        tear(() -> {
            byte at = slots.find(tid(1), (short) 0);
            for (int i = 0; i < 64; i++) {
                slots.use(at);
            }
        }, found -> found == null || Arrays.equals(found, key(1)));
    }

    private interface Holds {
        boolean holds(byte[] found);
    }

    private void tear(Runnable change, Holds allowed) {
        for (boolean half : new boolean[] {false, true}) {
            boolean torn = true;
            for (int n = 0; torn; n++) {
                memory.tornWrite = WatchedCard.NEVER;
                slots.clear();
                fill(1, 1);
                fill(2, 2);
                memory.writes = 0;
                memory.tornWrite = n;
                memory.half = half;
                try {
                    change.run();
                } catch (TornWrite lifted) {
                    // As if the card had been removed.
                }
                torn = memory.writes > n;
                memory.tornWrite = WatchedCard.NEVER;
                assertTrue(allowed.holds(keyOf(1)), "write " + n);
                assertEquals(null, keyOf(3));
                byte zero = slots.find(new byte[8], (short) 0);
                assertTrue(Slots.isDecoy(zero), "a key of zeros at write " + n);
                slots.clear();
                memory.writes = 0;
                slots.clear();
                assertEquals(0, memory.writes, "left over after write " + n);
            }
        }
    }

    private WatchedCard card;
    private Enrollment token;
    private Scp11a terminal;

    private Channel filled(int role) {
        byte[] keys = Crypto.random(48);
        card = new WatchedCard(keys);
        token = new Enrollment(new Line(card::transmit), keys);
        token.isPrivate = true;
        token.run();
        terminal = token.terminal(role);
        Channel channel = terminal.open(0x41, token.own);
        Enrollment.ok("slot", channel.send(0x88, 1, 1, new byte[32]));
        assertTrue(isFilled());
        return channel;
    }

    private boolean isFilled() {
        return !Slots.isDecoy(card.slots().find(terminal.tid(), (short) 0));
    }

    @Test
    void proofWithASlotIsTheSameProof() {
        Channel channel = filled(Certificates.READ);
        byte[] nonce = Crypto.random(32);
        card.countFromZero();
        Answer with = channel.send(0x88, 1, 1, nonce);
        assertEquals(7, card.writes());
        byte[] key = new byte[16];
        card.slots().readKey(card.slots().find(terminal.tid(), (short) 0), key, (short) 0);
        assertArrayEquals(terminal.resumptionKey, key);
        Answer without = channel.send(0x88, 0, 1, nonce);
        TapTest.verifyProof(token, terminal, with, nonce, 0x10001);
        TapTest.verifyProof(token, terminal, without, nonce, 0x10002);
    }

    @Test
    void refusedProofFillsNothing() {
        Channel channel = filled(Certificates.READ);
        card.slots().clear();
        card.countFromZero();
        Cards.refused(0x6700, channel.send(0x88, 1, 1, new byte[31]));
        Cards.refused(0x6A80, channel.send(0x88, 1, 0, new byte[32]));
        Cards.refused(0x6A80, channel.send(0x88, 3, 1, new byte[32]));
        assertEquals(0, card.writes());
        assertFalse(isFilled());
    }

    /** Which commands end all resumptions and which do not; a rejected command never does. */
    @Test
    void clearing() {
        clears(true, channel -> channel.send(0xF0, 0x40, 0x9F));
        clears(true, channel -> channel.send(0xF0, 0x40, 0x7F));
        clears(true, channel -> channel.send(0xDA, 1, 4, "260101000000".getBytes()));
        clears(true, channel -> channel.send(0xD8, 0, 0x10, Enrollment.caKey(token.ca, 3)));
        clears(true, channel -> channel.send(0xD8, 0, 0x11, token.setKey(Crypto.newKeyPair(), 2)));
        clears(true, channel -> channel.send(0xF1, 0, 0x11, of(0x41, 0xF0, 1, 0)));
        clears(true, channel -> channel.send(0xE2, 0x90, 0, Enrollment.certificateStore(0x41, token.ownCertificate)));
        clears(true, channel -> {
            token.putCaKey(Crypto.newKeyPair(), 4);
            Enrollment.ok("slot", channel.send(0x88, 1, 1, new byte[32]));
            assertTrue(isFilled());
            return channel.send(0xE4, 0, 0, Bytes.hex("D00110 D20104"));
        });
        clears(false, channel -> channel.send(0xDA, 1, 1, of(0xA0)));
        clears(false, channel -> channel.send(0xDA, 0x7F, 0x21, token.identityCertificate));
        clears(false, channel -> channel.send(0xE2, 0x90, 0,
            Bytes.tlv("A6", Bytes.hex("800100"), Bytes.tlv("42", Crypto.caId(token.ca)), Bytes.hex("83021003"))));
        refusedLeaves(channel -> channel.send(0xF0, 0x40, 0x1F));
        refusedLeaves(channel -> channel.send(0xF0, 0x40, 0x9F, of(1)));
        refusedLeaves(channel -> channel.send(0xDA, 1, 4, "990101000000".getBytes()));
        refusedLeaves(channel -> channel.send(0xD8, 0, 0x10, offCurve()));
        refusedLeaves(channel -> channel.send(0xD8, 0, 0x11, token.setKey(token.set, 3)));
        refusedLeaves(channel -> channel.send(0xF1, 0, 0x11, of(0x42, 0xF0, 1, 0)));
        refusedLeaves(channel -> channel.send(0xE2, 0x90, 0,
            Enrollment.certificateStore(0x41, token.certificate(Crypto.point(token.set), 8))));
        refusedLeaves(channel -> channel.send(0xE4, 0, 0, Bytes.hex("D00110 D20103")));
    }

    private byte[] offCurve() {
        byte[] bent = Enrollment.caKey(token.ca, 3);
        bent[60] ^= 1;
        return bent;
    }

    private interface Command {
        Answer to(Channel channel);
    }

    private void clears(boolean isCleared, Command command) {
        Channel channel = filled(Certificates.ADMIN);
        token.channel = channel;
        Enrollment.ok("the command", command.to(channel));
        assertEquals(isCleared, !isFilled());
    }

    private void refusedLeaves(Command command) {
        Channel channel = filled(Certificates.ADMIN);
        card.countFromZero();
        assertFalse(command.to(channel).isOk());
        assertEquals(0, card.writes());
        assertTrue(isFilled());
    }

    /** The slots are cleared before any other write of the command: a tear never leaves a new key with an old slot. */
    @Test
    void clearedBeforeTheFirstOtherWrite() {
        for (Command command : List.<Command>of(channel -> channel.send(0xF0, 0x40, 0x9F),
            channel -> channel.send(0xF0, 0x40, 0x7F),
            channel -> channel.send(0xDA, 1, 4, "260101000000".getBytes()),
            channel -> channel.send(0xD8, 0, 0x10, Enrollment.caKey(Crypto.newKeyPair(), 3)),
            channel -> channel.send(0xF1, 0, 0x11, of(0x41, 0xF0, 1, 0)))) {
            for (int n = 0; n < 4; n++) {
                Channel channel = filled(Certificates.ADMIN);
                card.tear(n, false);
                int status = command.to(channel).status();
                assertTrue(status == 0x6F00 || status == 0x9000 && n == 3, String.format("%04X", status));
                card.putBack();
                // The first write, of one byte, ends a slot; the second zeroes the rest.
                assertEquals(n == 0, isFilled(), "write " + n);
                assertEquals(n < 2 ? n == 0 ? 2 : 1 : 0, leftToClear());
            }
        }
    }

    private int leftToClear() {
        card.countFromZero();
        card.slots().clear();
        return card.writes();
    }

    @Test
    void tornTerminationGoesOnToNothing() {
        for (int n = 2; n < 6; n++) {
            Channel channel = filled(Certificates.ADMIN);
            card.tear(n, true);
            assertEquals(0x6F00, channel.send(0xF0, 0x40, 0x7F).status());
            card.putBack();
            Consumer<Integer> select = state ->
                assertEquals(state, part(token.terminal(1).select().data(), 22, 1)[0] & 0xFF);
            select.accept(n == 2 ? 0x1F : 0x7F);
            assertFalse(isFilled());
        }
    }
}
