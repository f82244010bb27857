package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.tlv;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import rollcall.bridge.SimulatedCard;
import rollcall.platform.Profile;
import rollcall.terminal.Bytes;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** Every command in every case gives the same answer, in whatever pieces the platform delivers its data. */
class CuttingsTest {

    private static final List<Profile> PROFILES = List.of(new Profile(133, 1), new Profile(133, 32), new Profile(133, 128),
        new Profile(261, 1), new Profile(261, 32), new Profile(261, 128), new Profile(261, 255));
    private static final int[] INSTRUCTIONS = {0xA4, 0xCA, 0x2A, 0x82, 0x50, 0x88, 0xB1, 0xD7, 0xDA, 0xD8, 0xF1, 0xE2, 0xE4,
        0xF0, 0xC0, 0x86, 0x20};
    private static final int[] CLASSES = {0x00, 0x80, 0x84, 0x90, 0x94};
    private static final int INITIALIZE_UPDATE = 0x50;

    static List<Profile> profiles() {
        return PROFILES;
    }

    /** Cases 1, 2, 3, 4, 2E, 3E, 4E, with data of various lengths around the sizes of pieces and buffers. */
    private static List<byte[]> ends() {
        List<byte[]> ends = new ArrayList<>(List.of(of(), of(0), of(0x12), of(0, 0, 0), of(0, 0, 5)));
        for (int n : new int[] {1, 8, 31, 32, 33, 127, 128, 129, 255}) {
            byte[] data = cat(of(n), noise(n));
            ends.add(data);
            ends.add(cat(data, of(0)));
        }
        for (int n : new int[] {1, 16, 126, 127, 128, 254, 255, 256, 512, 513, 1000}) {
            byte[] data = cat(of(0), Bytes.be(n, 2), noise(n));
            ends.add(data);
            ends.add(cat(data, of(0, 0)));
        }
        return ends;
    }

    private static byte[] noise(int n) {
        byte[] data = new byte[n];
        for (int i = 0; i < n; i++) {
            data[i] = (byte) (i * 37 + 1);
        }
        return data;
    }

    private static Enrollment token(SimulatedCard card, byte[] keys) {
        return new Enrollment(new Line(card::transmit), keys);
    }

    /** The answer to this command, and to the next one, which shows whether the session survived. */
    private static String answers(SimulatedCard card, byte[] apdu) {
        card.transmit(hex("00A404000AF0524F4C4C43414C4C01"));
        byte[] answer = card.transmit(apdu);
        boolean isRandom = (apdu[1] & 0xFF) == INITIALIZE_UPDATE && answer.length > 2;
        byte[] next = card.transmit(hex("80CAFF3300"));
        return (isRandom ? "random of " + answer.length : Bytes.hex(answer)) + " " + Bytes.hex(next);
    }

    @Test
    void everyInstructionAnswersAlike() {
        byte[] keys = Crypto.random(48);
        SimulatedCard blank = new SimulatedCard(keys);
        SimulatedCard issued = new SimulatedCard(keys);
        token(issued, keys).run();
        int compared = 0;
        for (SimulatedCard card : List.of(blank, issued)) {
            for (int ins : INSTRUCTIONS) {
                for (int cla : CLASSES) {
                    for (byte[] end : ends()) {
                        byte[] p1p2 = ins == 0xA4 ? of(4, 0) : ins == 0xCA ? of(0xFF, 0x33) : of(0, 0);
                        byte[] apdu = cat(of(cla, ins), p1p2, end);
                        card.use(Profile.REFERENCE);
                        String expected = answers(card, apdu);
                        assertTrue(!expected.contains("6F00"), Bytes.hex(apdu) + ": " + expected);
                        for (Profile profile : PROFILES) {
                            card.use(profile);
                            assertEquals(expected, answers(card, apdu), profile + ": " + Bytes.hex(apdu));
                            compared++;
                        }
                    }
                }
            }
        }
        System.out.println("cuttings: " + compared + " answers compared");
    }

    /** A token's whole life cycle, in cases 3 and 4, short, chained and extended. */
    @ParameterizedTest
    @MethodSource("profiles")
    void everyCommandIsCarriedOut(Profile profile) {
        for (Line.Dialect dialect : Line.Dialect.values()) {
            for (boolean withLe : new boolean[] {true, false}) {
                byte[] keys = Crypto.random(48);
                Enrollment token = token(new SimulatedCard(keys, profile), keys);
                token.line.dialect = dialect;
                token.line.withLe = withLe;
                token.isPrivate = withLe;
                live(token);
            }
        }
    }

    private static void live(Enrollment token) {
        byte[] details = noise(700);
        byte[] portrait = noise(1500);
        token.record = noise(120);
        token.open(token.startKeys);
        List<Runnable> steps = token.steps();
        steps.subList(0, steps.size() - 1).forEach(Runnable::run);
        token.putInParts(2, details);
        token.putInParts(3, portrait);
        steps.get(steps.size() - 1).run();

        Channel channel = open(token, Certificates.ADMIN);
        assertArrayEquals(token.record, channel.send(0xCA, 1, 1).data());
        assertArrayEquals(token.identityCertificate, channel.send(0xCA, 0x7F, 0x21).data());
        assertArrayEquals(details, TearingTest.readParts(channel, 2));
        assertArrayEquals(portrait, TearingTest.readParts(channel, 3));
        assertTrue(channel.send(0x88, 0, 1, noise(32)).isOk());
        token.channel = channel;
        token.putCaKey(Crypto.newKeyPair(), 4);
        Enrollment.ok("DELETE KEY", channel.send(0xE4, 0, 0, hex("D00110 D20104")));
        Enrollment.ok("record", open(token, Certificates.WRITE).send(0xDA, 1, 1, noise(60)));
        channel = open(token, Certificates.ADMIN);
        assertArrayEquals(noise(60), channel.send(0xCA, 1, 1).data());
        Enrollment.ok("BLOCKED", channel.send(0xF0, 0x40, 0x9F));
        Enrollment.ok("ISSUED", channel.send(0xF0, 0x40, 0x1F));
        Enrollment.ok("date", channel.send(0xDA, 1, 4, hex("323630313031303030303030")));
        Enrollment.ok("TERMINATED", channel.send(0xF0, 0x40, 0x7F));
    }

    private static Channel open(Enrollment token, int role) {
        Scp11a terminal = token.terminal(role);
        assertTrue(terminal.select().isOk());
        // In private mode the token does not reveal its own certificate.
        byte[] shown = token.isPrivate ? token.setCertificate : token.ownCertificate;
        byte[] reference = tlv("A6", tlv("83", of(0x11, token.isPrivate ? 1 : 0x41)));
        assertArrayEquals(shown, token.line.send(0, 0xCA, 0xBF, 0x21, reference).data());
        byte[] list = cat(tlv("42", Crypto.caId(token.ca)), hex("83021003"));
        assertArrayEquals(list, token.line.send(0, 0xCA, 0xFF, 0x33, new byte[0]).data());
        return terminal.open(0x41, token.own);
    }
}
