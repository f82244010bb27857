package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import rollcall.terminal.Answer;
import rollcall.terminal.Bytes;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** Removes the card at every single write: afterwards it is in the old state or the new one, never in between. */
class TearingTest {

    private static final int MANY = 200;

    private WatchedCard card;
    private Enrollment token;

    private void blank(boolean isPrivate) {
        byte[] keys = Crypto.random(48);
        card = new WatchedCard(keys);
        token = new Enrollment(new Line(card::transmit), keys);
        token.isPrivate = isPrivate;
    }

    private void issued(boolean isPrivate) {
        blank(isPrivate);
        token.run();
    }

    private int state() {
        return token.terminal(Certificates.READ).select().data()[22] & 0xFF;
    }

    /** Runs the command with each write torn in turn; {@code check} sees the card after it was put back. */
    private int tearEach(Runnable prepare, Runnable command, Consumer<Integer> check) {
        int points = 0;
        for (boolean half : new boolean[] {false, true}) {
            int n = 0;
            boolean torn = true;
            while (torn) {
                assertTrue(n < MANY);
                prepare.run();
                card.tear(n, half);
                try {
                    command.run();
                } catch (IllegalStateException refused) {
                    assertTrue(refused.getMessage().endsWith("6F00"), refused.getMessage());
                }
                torn = card.wasTorn();
                card.putBack();
                check.accept(n);
                n++;
            }
            points += n - 1;
        }
        assertTrue(points > 0);
        return points;
    }

    /**
     * The first command creates the keys and everything else: wherever it is torn, the next command finishes it, once.
     */
    @Test
    void firstCommandGoesOn() {
        List<Integer> left = new ArrayList<>();
        int points = tearEach(() -> blank(true), () -> Enrollment.ok("SELECT", token.terminal(1).select()), n -> {
            card.countFromZero();
            assertEquals(0x07, state());
            left.add(card.writes());
            card.countFromZero();
            assertEquals(0x07, state());
            assertEquals(0, card.writes());
            token.run();
            assertEquals(0x1F, state());
        });
        // A tear never increases the work left: what has been created stays.
        assertEquals(2 * left.get(0), left.stream().mapToInt(i -> i).max().orElse(0) * 2);
        for (int i = 1; i < left.size(); i++) {
            assertTrue(left.get(i) <= left.get(i - 1) || left.get(i - 1) == 0, left.toString());
        }
        System.out.println("first command: " + points + " points torn, left to do after each " + left);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void everyStepOfAnEnrollmentCanBeRepeated(boolean isPrivate) {
        blank(isPrivate);
        int steps = token.steps().size();
        int points = 0;
        for (int step = 0; step < steps; step++) {
            int current = step;
            points += tearEach(() -> {
                blank(isPrivate);
                token.open(token.startKeys);
                token.steps().subList(0, current).forEach(Runnable::run);
            }, () -> token.steps().get(current).run(), n -> finish(current));
        }
        System.out.println("enrollment: " + points + " write points torn");
    }

    /** As the terminal does: the state shown by the card decides where to continue. */
    private void finish(int step) {
        int state = state();
        if (state == 0x1F) {
            return;
        }
        token.open(state == 0x07 ? token.startKeys : token.tokenKeys);
        int from = state == 0x07 ? 0 : Math.max(step, 2);
        token.steps().subList(from, token.steps().size()).forEach(Runnable::run);
        assertEquals(0x1F, state());
        assertArrayEquals(token.record, token.openOwn(Certificates.READ).send(0xCA, 1, 1).data());
    }

    @Test
    void resetGoesOn() {
        int points = tearEach(() -> {
            blank(true);
            token.open(token.startKeys);
            token.steps().subList(0, token.steps().size() - 1).forEach(Runnable::run);
        }, () -> token.reset(), n -> {
            int state = state();
            assertTrue(state == 0x07 || n == 0 && state == 0x0F, "state " + state + " after " + n);
            if (state == 0x07) {
                assertEquals(0, token.terminal(Certificates.READ).select().data()[25]);
                token.run();
            }
        });
        System.out.println("RESET: " + points + " write points torn");
    }


    @Test
    void terminatedGoesOn() {
        int points = tearEach(() -> {
            issued(false);
            token.channel = token.openOwn(Certificates.ADMIN);
            token.channel.send(0xCA, 1, 0);
        }, () -> Enrollment.ok("TERMINATED", token.channel.send(0xF0, 0x40, 0x7F)), n -> {
            int state = state();
            assertTrue(state == 0x7F || n == 0 && state == 0x1F);
            if (state == 0x7F) {
                card.countFromZero();
                state();
                assertEquals(0, card.writes());
                assertArrayEquals(hex("81017F820100" + "8308" + "00".repeat(8)),
                    part(token.terminal(1).select().data(), 20, 16));
            }
        });
        System.out.println("TERMINATED: " + points + " write points torn");
    }

    @Test
    void recordIsOldOrNew() {
        byte[] fresh = Crypto.random(120);
        tearEach(() -> {
            issued(false);
            token.channel = token.openOwn(Certificates.WRITE);
        }, () -> Enrollment.ok("record", token.channel.send(0xDA, 1, 1, fresh)), n -> {
            byte[] now = token.openOwn(Certificates.READ).send(0xCA, 1, 1).data();
            assertTrue(Arrays.equals(now, token.record) || Arrays.equals(now, fresh));
        });
    }

    @Test
    void detailsAreOldOrNew() {
        byte[] old = Crypto.random(700);
        byte[] fresh = Crypto.random(500);
        tearEach(() -> {
            issued(false);
            token.channel = token.openOwn(Certificates.WRITE);
            Enrollment.putInParts(token.channel, 2, old);
        }, () -> Enrollment.putInParts(token.channel, 2, fresh), n -> {
            byte[] now = readParts(token.openOwn(Certificates.READ), 2);
            assertTrue(Arrays.equals(now, old) || Arrays.equals(now, fresh));
        });
    }

    static byte[] readParts(Channel channel, int tag) {
        byte[] all = new byte[0];
        while (true) {
            byte[] data = channel.send(0xB1, 1, tag, hex("5402"), Bytes.be(all.length, 2)).data();
            if (Arrays.equals(data, hex("5300"))) {
                return all;
            }
            int header = data[1] == (byte) 0x81 ? 3 : 2;
            all = Bytes.cat(all, part(data, header, data.length - header));
        }
    }

    @Test
    void caKeyIsOldOrNew() {
        java.security.KeyPair fresh = Crypto.newKeyPair();
        tearEach(() -> {
            issued(false);
            token.channel = token.openOwn(Certificates.ADMIN);
        }, () -> token.putCaKey(fresh, 3), n -> {
            byte[] selected = token.terminal(1).select().data();
            byte[] id = part(selected, 28, 8);
            boolean isNew = Arrays.equals(id, part(Crypto.caId(fresh), 0, 8));
            assertTrue(isNew || Arrays.equals(id, part(Crypto.caId(token.ca), 0, 8)), Bytes.hex(selected));
            Scp11a terminal = new Scp11a(token.line, isNew ? fresh : token.ca, 1);
            assertTrue(terminal.open(0x41, token.own).send(0xCA, 1, 0).isOk());
        });
    }

    @Test
    void ownKeyIsOldOrNewWithItsCertificate() {
        tearEach(() -> {
            issued(false);
            token.channel = token.openOwn(Certificates.ADMIN);
        }, () -> {
            byte[] point = token.generate(0x11, 0x41);
            token.storeCertificate(0x41, token.certificate(point, Certificates.TOKEN));
        }, n -> {
            Scp11a terminal = token.terminal(1);
            terminal.select();
            byte[] der = token.line.send(0, 0xCA, 0xBF, 0x21, hex("A60483021141")).data();
            byte[] own = pointIn(der);
            assertEquals(Arrays.equals(der, token.ownCertificate), Arrays.equals(own, token.own));
            assertTrue(terminal.open(0x41, own).send(0xCA, 1, 0).isOk());
        });
    }

    private static byte[] pointIn(byte[] der) {
        String text = Bytes.hex(der);
        int at = text.indexOf("03420004") / 2 + 3;
        return part(der, at, 65);
    }

    @Test
    void counterNeverFalls() {
        issued(false);
        Channel channel = token.openOwn(Certificates.READ);
        long last = 0;
        for (int i = 0; i < 100; i++) {
            card.tear(i % 3 == 0 ? 0 : WatchedCard.NEVER, i % 2 == 0);
            Answer answer = channel.send(0x88, 0, 1, new byte[32]);
            if (i % 3 == 0) {
                assertEquals(0x6F00, answer.status());
                card.putBack();
                channel = token.openOwn(Certificates.READ);
            } else {
                long value = new java.math.BigInteger(1, part(answer.data(), 20, 4)).longValue();
                assertTrue(value > last, value + " after " + last);
                last = value;
            }
        }
    }

    @Test
    void writesOfOneTap() {
        issued(false);
        card.countFromZero();
        Channel channel = token.openOwn(Certificates.READ);
        int handshake = card.writes();
        channel.send(0xCA, 1, 0);
        int heartbeat = card.writes() - handshake;
        channel.send(0x88, 0, 1, new byte[32]);
        int proof = card.writes() - handshake - heartbeat;
        assertEquals(List.of(1, 0, 1), List.of(handshake, heartbeat, proof));
    }

    @Test
    void strangerCausesNoOtherWrite() {
        issued(false);
        card.countFromZero();
        Scp11a stranger = new Scp11a(token.line, Crypto.newKeyPair(), 3);
        stranger.select();
        assertEquals(0x6A80, stranger.pso().status());
        token.line.send(0x80, 0x50, 0, 0, new byte[8]);
        token.line.send(0x84, 0x88, 0, 1, new byte[40]);
        token.line.send(0x00, 0xCA, 0xFF, 0x33, of());
        assertEquals(0, card.writes());
    }
}
