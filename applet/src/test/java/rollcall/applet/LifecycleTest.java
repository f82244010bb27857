package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.applet.Cards.refused;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import java.security.KeyPair;
import org.junit.jupiter.api.Test;
import rollcall.bridge.SimulatedCard;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp03;
import rollcall.terminal.Scp11a;

/** Life cycle states, roles, the date, key rotation, and private mode. */
class LifecycleTest {

    private static final int[] STATES = {0x07, 0x0F, 0x1F, 0x9F, 0x7F};

    @Test
    void rolesOfEveryCommand() {
        Enrollment token = Cards.open();
        for (int role : new int[] {Certificates.READ, Certificates.WRITE}) {
            Channel channel = token.openOwn(role);
            int write = role == Certificates.READ ? 0x6982 : 0x6A80;
            refused(write, channel.send(0xD7, 1, 2));
            refused(write, channel.send(0xDA, 1, 1));
            refused(0x6982, channel.send(0xDA, 0x7F, 0x21));
            refused(0x6982, channel.send(0xDA, 1, 0));
            refused(0x6982, channel.send(0xDA, 1, 4));
            for (int ins : new int[] {0xD8, 0xF1, 0xE2, 0xE4, 0xF0}) {
                refused(0x6982, channel.send(ins, 0, 0));
            }
        }
        Channel admin = token.openOwn(Certificates.ADMIN);
        refused(0x6982, admin.send(0xDA, 1, 0));
        refused(0x6982, admin.send(0xD8, 0, 0x81));
        refused(0x6982, admin.send(0xF1, 0, 0x21));
        refused(0x6985, admin.send(0xD8, 0, 0x11));
        refused(0x6A80, admin.send(0xD8, 0, 0x21));
        refused(0x6985, admin.send(0xE4, 0, 0, hex("D00110D20103")));
        refused(0x6985, admin.send(0xE4, 0, 0, hex("D00111D20141")));
        refused(0x6985, admin.send(0xE4, 0, 0, hex("D00121D20101")));
        refused(0x6A88, admin.send(0xE4, 0, 0, hex("D00110D20104")));
        refused(0x6A80, admin.send(0xE4, 0, 0, hex("D00112D20104")));
    }

    @Test
    void blockedAndBack() {
        Enrollment token = Cards.open();
        Channel admin = token.openOwn(Certificates.ADMIN);
        for (int state : STATES) {
            if (state != 0x9F && state != 0x7F) {
                refused(0x6985, admin.send(0xF0, 0x40, state));
            }
        }
        refused(0x6A80, admin.send(0xF0, 0x40, 0x08));
        refused(0x6700, admin.send(0xF0, 0x40, 0x9F, of(1)));
        assertTrue(admin.send(0xF0, 0x40, 0x9F).isOk());
        refused(0x6985, admin.send(0x88, 0, 1, new byte[32]));
        assertArrayEquals(hex("9F"), admin.send(0xCA, 1, 0).data());
        Channel reader = token.openOwn(Certificates.READ);
        refused(0x6985, reader.send(0xCA, 1, 0));
        refused(0x6985, reader.send(0xDA, 1, 1, of(1)));
        assertTrue(reader.send(0xCA, 0xFF, 0x33).isOk());
        assertTrue(reader.send(0xCA, 0xBF, 0x21, hex("A60483021141")).isOk());
        assertTrue(token.openOwn(Certificates.ADMIN).send(0xF0, 0x40, 0x1F).isOk());
        assertTrue(token.openOwn(Certificates.READ).send(0xCA, 1, 1).isOk());
    }

    @Test
    void terminatedAnswersSelectOnly() {
        Enrollment token = Cards.open();
        assertTrue(token.openOwn(Certificates.ADMIN).send(0xF0, 0x40, 0x7F).isOk());
        refused(0x6985, token.line.raw("84CA0100"));
        byte[] expected = tlv("6F", tlv("84", Scp11a.AID),
            tlv("A5", hex("80020100 81017F 820100 8308 0000000000000000")));
        assertArrayEquals(expected, token.terminal(1).select().data());
        for (String command : new String[] {"00CAFF33", "8050000008 0102030405060708", "80010000", "00C00000"}) {
            refused(0x6985, token.line.raw(command));
        }
    }

    @Test
    void scp03EndsAtIssued() {
        Enrollment token = Cards.open();
        refused(0x6985, token.channel.send(0xF0, 0x40, 0x07));
        refused(0x6985, token.line.send(0x80, 0x50, 0, 0, new byte[8]));
    }

    @Test
    void scp03Refusals() {
        Enrollment token = Cards.blank();
        Line line = token.line;
        token.open(token.startKeys);
        refused(0x6A88, line.send(0x80, 0x50, 1, 0, new byte[8]));
        refused(0x6A80, line.send(0x80, 0x50, 0, 1, new byte[8]));
        refused(0x6700, line.send(0x80, 0x50, 0, 0, new byte[7]));
        Channel channel = Scp03.begin(line, token.startKeys);
        refused(0x6300, line.send(0x84, 0x82, 0x33, 0, new byte[16]));
        refused(0x6985, Scp03.finish(line, channel, token.startKeys));
        Scp03.begin(line, token.startKeys);
        refused(0x6A80, line.send(0x84, 0x82, 0x01, 0, new byte[16]));
        Scp03.begin(line, token.startKeys);
        refused(0x6982, line.send(0x84, 0x82, 0x33, 0,
            cat(Scp03.hostCryptogram(token.startKeys), new byte[8])));
        Scp03.open(line, token.startKeys);
    }

    @Test
    void enrollmentRefusals() {
        Enrollment token = Cards.blank();
        token.isPrivate = true;
        token.open(token.startKeys);
        token.reset();
        Channel channel = token.channel;
        refused(0x6985, channel.send(0xF0, 0x40, 0x1F, new byte[32]));
        refused(0x6982, channel.send(0xCA, 1, 1));
        refused(0x6982, channel.send(0x88, 0, 1, new byte[32]));
        refused(0x6985, channel.send(0xD8, 0, 0x11, token.setKey(token.set, 1)));
        refused(0x6A80, channel.send(0xDA, 0x7F, 0x21, new byte[100]));
        refused(0x6A88, channel.send(0xE2, 0x90, 0,
            Enrollment.certificateStore(0x41, token.certificate(Crypto.point(token.set), 8))));
        token.putTokenKeys();
        token.putMode();
        refused(0x6A80, channel.send(0xD8, 0, 0x10, Enrollment.caKey(token.ca, 5)));
        byte[] offCurve = Enrollment.caKey(token.ca, 3);
        offCurve[60] ^= 1;
        refused(0x6A80, channel.send(0xD8, 0, 0x10, offCurve));
        token.putCaKey(token.ca, 3);
        token.generateOwn();
        refused(0x6A80, channel.send(0xE2, 0x90, 0,
            Enrollment.certificateStore(0x41, token.certificate(Crypto.point(token.set), 8))));
        token.certifyOwn();
        byte[] order = hex("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
        for (byte[] scalar : new byte[][] {new byte[32], order}) {
            refused(0x6A80, channel.send(0xD8, 0, 0x11,
                cat(of(1), tlv("B1", token.encrypt(scalar)), hex("F0010000"))));
        }
        token.putSetKey(token.set, 1);
        token.generateIdentity();
        token.certifyIdentity();
        token.putRecord();
        refused(0x6985, channel.send(0xF0, 0x40, 0x1F, new byte[32]));
        token.certifySet();
        token.generateIdentity();
        refused(0x6985, token.issue());
        token.certifyIdentity();
        refused(0x6700, channel.send(0xF0, 0x40, 0x1F));
        refused(0x6A80, channel.send(0xF0, 0x40, 0x1F, new byte[32]));
        token.putInParts(2, Crypto.random(600));
        token.putInParts(3, Crypto.random(8192));
        assertTrue(token.issue().isOk());
    }

    @Test
    void testKeysRefuseASetForEver() {
        SimulatedCard card = new SimulatedCard(new byte[0]);
        Enrollment token = new Enrollment(new Line(card::transmit), Scp03.TEST_KEYS);
        token.isPrivate = true;
        token.open(Scp03.TEST_KEYS);
        token.steps().subList(0, 3).forEach(Runnable::run);
        refused(0x6985, token.channel.send(0xD8, 0, 0x11, token.setKey(token.set, 1)));
    }

    @Test
    void dateAdvancesByThreeMonthsAndShutsOutTheExpired() {
        Enrollment token = Cards.open();
        assertTrue(dated(token, "260201000000Z", "260208000000Z", 1).send(0xCA, 1, 0).isOk());
        assertTrue(dated(token, "260101000000Z", "260201000000Z", 1).send(0xCA, 1, 0).isOk());
        refused(0x6985, dated(token, "260101000000Z", "260131235959Z", 1).send(0xCA, 1, 0));
        assertTrue(dated(token, "491130000000Z", "491231000000Z", 1).send(0xCA, 1, 0).isOk());
        assertTrue(dated(token, "260401000000Z", "260501000000Z", 1).send(0xCA, 1, 0).isOk());
        refused(0x6985, dated(token, "260401000000Z", "260430235959Z", 1).send(0xCA, 1, 0));
        Channel admin = dated(token, "260501000000Z", "260508000000Z", 3);
        refused(0x6A80, admin.send(0xDA, 1, 4, "260501000001".getBytes()));
        refused(0x6A80, admin.send(0xDA, 1, 4, "26050100000a".getBytes()));
        refused(0x6700, admin.send(0xDA, 1, 4, "2605010000".getBytes()));
        assertTrue(admin.send(0xDA, 1, 4, "260101000000".getBytes()).isOk());
        assertTrue(dated(token, "260101000000Z", "260105000000Z", 1).send(0xCA, 1, 0).isOk());
    }

    private static Channel dated(Enrollment token, String from, String to, int role) {
        Scp11a terminal = token.terminal(role);
        Certificates certificate = new Certificates(token.ca, Crypto.point(terminal.key), role);
        certificate.notBefore = from;
        certificate.notAfter = to;
        terminal.certificate = certificate.der();
        return terminal.open(0x41, token.own);
    }

    @Test
    void caRotation() {
        Enrollment token = Cards.open();
        KeyPair fresh = Crypto.newKeyPair();
        token.channel = token.openOwn(Certificates.ADMIN);
        token.putCaKey(fresh, 4);
        assertEquals(2 * 26, token.channel.send(0xCA, 0xFF, 0x33).data().length - 3);
        assertArrayEquals(part(Crypto.caId(token.ca), 0, 8), announcedCa(token));
        Scp11a terminal = new Scp11a(token.line, fresh, Certificates.ADMIN);
        terminal.caKvn = 4;
        Channel admin = terminal.open(0x41, token.own);
        assertTrue(admin.send(0xE4, 0, 0, hex("D00110D20103")).isOk());
        assertArrayEquals(part(Crypto.caId(fresh), 0, 8), announcedCa(token));
        token.channel = terminal.open(0x41, token.own);
        token.putCaKey(token.ca, 3);
        assertArrayEquals(part(Crypto.caId(fresh), 0, 8), announcedCa(token));
        refused(0x6A80, token.openOwn(Certificates.ADMIN).send(0xE2, 0x90, 0,
            tlv("A6", hex("800100"), tlv("42", Crypto.caId(fresh)), hex("83021003"))));
    }

    private static byte[] announcedCa(Enrollment token) {
        return part(token.line.raw(cat(hex("00A404000A"), Scp11a.AID)).data(), 28, 8);
    }

    @Test
    void setKeyRotationInPrivateMode() {
        Enrollment token = Cards.closed();
        KeyPair fresh = Crypto.newKeyPair();
        token.channel = token.openOwn(Certificates.ADMIN);
        byte[] before = token.terminal(1).select().data();
        token.channel = token.openOwn(Certificates.ADMIN);
        token.putSetKey(fresh, 2);
        byte[] certificate = token.certificate(Crypto.point(fresh), Certificates.SET);
        token.storeCertificate(2, certificate);
        assertArrayEquals(before, token.terminal(1).select().data());
        refused(0x6A88, token.line.send(0, 0xCA, 0xBF, 0x21, hex("A60483021102")));
        refused(0x6A88, token.line.send(0, 0xCA, 0xBF, 0x21, hex("A60483021141")));
        Channel admin = token.openOwn(Certificates.ADMIN);
        assertArrayEquals(token.ownCertificate, admin.send(0xCA, 0xBF, 0x21, hex("A60483021141")).data());
        assertTrue(admin.send(0xE4, 0, 0, hex("D00111D20101")).isOk());
        refused(0x6985, admin.send(0xE4, 0, 0, hex("D00111D20102")));
        byte[] after = token.terminal(1).select().data();
        assertArrayEquals(part(Crypto.sha256(certificate), 0, 8), part(after, 38, 8));
        assertTrue(token.terminal(3).open(2, Crypto.point(fresh)).send(0xCA, 1, 1).isOk());
    }

    @Test
    void setKeyReadsOnlyAndTellsNothing() {
        Enrollment token = Cards.closed();
        Channel set = token.terminal(Certificates.ADMIN).open(1, Crypto.point(token.set));
        refused(0x6982, set.send(0xDA, 1, 1, of(1)));
        refused(0x6982, set.send(0xF0, 0x40, 0x9F));
        assertTrue(set.send(0xCA, 1, 1).isOk());
        assertTrue(token.openOwn(Certificates.ADMIN).send(0xF0, 0x40, 0x9F).isOk());
        Scp11a terminal = token.terminal(1);
        assertEquals(0x1F, terminal.select().data()[22]);
        for (int kvn : new int[] {1, 2, 0x41, 0x40, 0xFF, 0}) {
            assertTrue(terminal.pso().isOk());
            byte[] data = cat(Scp11a.PARAMETERS, tlv("5F49", Crypto.point(Crypto.newKeyPair())));
            assertEquals(86, token.line.send(0x80, 0x82, kvn, 0x11, data).data().length);
        }
    }

    @Test
    void rekeyedScp03KeepsTheSession() {
        Enrollment token = Cards.blank();
        token.open(token.startKeys);
        token.reset();
        token.putTokenKeys();
        refused(0x6A80, token.channel.send(0xD8, 0xFF, 0x81, of(1)));
        token.putTokenKeys();
        assertEquals(0x0F, token.terminal(1).select().data()[22]);
        token.open(token.tokenKeys);
        token.reset();
        assertEquals(0x07, token.terminal(1).select().data()[22]);
        token.open(token.startKeys);
    }

    @Test
    void parts() {
        Enrollment token = Cards.open();
        Channel writer = token.openOwn(Certificates.WRITE);
        refused(0x6A88, writer.send(0xB1, 1, 2, hex("54020000")));
        refused(0x6A80, writer.send(0xD7, 1, 2, hex("54020001 5301AA")));
        refused(0x6A84, writer.send(0xD7, 1, 2, hex("540207FF 5302AAAA")));
        refused(0x6A80, writer.send(0xDA, 1, 2, hex("80020000 8120"), Crypto.sha256(of())));
        byte[] details = Crypto.random(2048);
        Enrollment.putInParts(writer, 2, details);
        assertArrayEquals(details, TearingTest.readParts(writer, 2));
        assertArrayEquals(hex("5300"), writer.send(0xB1, 1, 2, hex("5402FFFF")).data());
        assertArrayEquals(cat(hex("5301"), part(details, 2047, 1)), writer.send(0xB1, 1, 2, hex("540207FF")).data());
        assertTrue(writer.send(0xD7, 1, 2, hex("54020000 5300")).isOk());
        refused(0x6A80, writer.send(0xDA, 1, 2, hex("80020001 8120"), Crypto.sha256(of())));
        assertTrue(writer.send(0xDA, 1, 2, hex("80020000 8120"), Crypto.sha256(of())).isOk());
        refused(0x6A88, writer.send(0xB1, 1, 2, hex("54020000")));
        refused(0x6A84, writer.send(0xDA, 1, 1, new byte[121]));
    }
}
