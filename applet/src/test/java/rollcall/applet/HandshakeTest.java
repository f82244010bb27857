package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.applet.Cards.refused;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import rollcall.terminal.Answer;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** SCP11a handshake: for each single deviation from a good exchange, the one status word it must get. */
class HandshakeTest {

    private final Enrollment token = Cards.open();
    private final Line line = token.line;
    private final Scp11a terminal = token.terminal(Certificates.READ);

    private void badCertificate(Consumer<Certificates> change) {
        Certificates certificate = new Certificates(token.ca, Crypto.point(terminal.key), Certificates.READ);
        change.accept(certificate);
        terminal.certificate = certificate.der();
        terminal.select();
        refused(0x6A80, terminal.pso());
        refused(0x6985, line.send(0x80, 0x82, 0x41, 0x11, agreement(Crypto.point(Crypto.newKeyPair()))));
    }

    private static byte[] agreement(byte[] point) {
        return cat(Scp11a.PARAMETERS, tlv("5F49", point));
    }

    @Test
    void certificateOfAnotherProfile() {
        badCertificate(c -> c.ca = Crypto.newKeyPair());
        badCertificate(c -> c.authority = Crypto.random(20));
        badCertificate(c -> c.keyUsage = Certificates.DIGITAL_SIGNATURE);
        badCertificate(c -> c.keyUsage = hex("03020388"));
        badCertificate(c -> c.keyUsageCritical = new byte[0]);
        badCertificate(c -> c.trailing = of(0));
        badCertificate(c -> c.notBefore = "260101000000A");
        badCertificate(c -> c.notAfter = "800101000000Z");
        badCertificate(c -> c.moreExtensions = Certificates.extension("551D13", Certificates.CRITICAL, hex("3000")));
        badCertificate(c -> c.moreExtensions = Certificates.extension("551D0F", Certificates.CRITICAL, c.keyUsage));
        badCertificate(c -> c.extendedKeyUsage = tlv("30", Certificates.classOid(1), Certificates.classOid(3)));
        for (int other : new int[] {0, 4, 8, 9, 10, 11}) {
            badCertificate(c -> c.extendedKeyUsage = tlv("30", Certificates.classOid(other)));
        }
    }

    @Test
    void everyBitOfACertificateCounts() {
        byte[] good = terminal.certificate;
        terminal.select();
        for (int i = 0; i < good.length; i++) {
            terminal.certificate = good.clone();
            terminal.certificate[i] ^= 1 << i % 8;
            refused(0x6A80, terminal.pso());
        }
        for (int n = 0; n < good.length; n += 13) {
            terminal.certificate = part(good, 0, n);
            refused(0x6A80, terminal.pso());
        }
        terminal.certificate = good;
        assertTrue(terminal.pso().isOk());
    }

    @Test
    void psoRefusals() {
        terminal.select();
        refused(0x6A80, line.send(0x80, 0x2A, 3, 0x11, terminal.certificate));
        refused(0x6A88, line.send(0x80, 0x2A, 4, 0x10, terminal.certificate));
        Certificates long_ = new Certificates(token.ca, Crypto.point(terminal.key), Certificates.READ);
        long_.subject = "x".repeat(90);
        refused(0x6A80, line.send(0x80, 0x2A, 3, 0x10, long_.der()));
        byte[] der = terminal.certificate;
        assertTrue(line.raw(cat(of(0x80, 0x2A, 0x83, 0x10, 200), part(der, 0, 200))).isOk());
        assertTrue(line.raw(cat(of(0x80, 0x2A, 3, 0x10, der.length - 200), part(der, 200, der.length - 200))).isOk());
    }

    @Test
    void mutualAuthenticateRefusals() {
        byte[] good = agreement(Crypto.point(Crypto.newKeyPair()));
        for (int i = 0; i < Scp11a.PARAMETERS.length + 4; i++) {
            byte[] bad = good.clone();
            bad[i] ^= 1;
            refusedAgreement(0x6A80, 0x41, bad);
        }
        byte[] offCurve = good.clone();
        offCurve[82] ^= 1;
        refusedAgreement(0x6A80, 0x41, offCurve);
        refusedAgreement(0x6A80, 0x41, agreement(cat(of(4), new byte[64])));
        refusedAgreement(0x6A80, 0x41, agreement(cat(of(2), part(good, 19, 32))));
        refusedAgreement(0x6A80, 0x41, agreement(of(0)));
        refusedAgreement(0x6A80, 0x41, cat(good, of(0)));
        refusedAgreement(0x6A88, 0x01, good);
    }

    private void refusedAgreement(int status, int kvn, byte[] data) {
        terminal.select();
        assertTrue(terminal.pso().isOk());
        refused(status, line.send(0x80, 0x82, kvn, 0x11, data));
        refused(0x6985, line.send(0x80, 0x82, 0x41, 0x11, agreement(Crypto.point(Crypto.newKeyPair()))));
    }

    @Test
    void terminalWithoutItsKeyGetsNothing() {
        terminal.select();
        terminal.pso();
        terminal.key = Crypto.newKeyPair();
        assertThrows(IllegalStateException.class, () -> terminal.agree(0x41, token.own));
        refused(0x6982, line.send(0x84, 0xCA, 1, 0, new byte[8]));
    }

    @Test
    void plainGetDataLeavesTheSessionAndNothingElseDoes() {
        terminal.select();
        terminal.pso();
        assertTrue(line.send(0x80, 0xCA, 0xBF, 0x21, hex("A60483021141")).isOk());
        refused(0x6A88, line.send(0, 0xCA, 0xFF, 0x34, of()));
        assertTrue(terminal.agree(0x41, token.own).send(0xCA, 1, 0).isOk());
        for (Runnable other : List.<Runnable>of(() -> line.send(0, 0xB0, 0, 0, of()), () -> line.raw("0C000000"),
            () -> line.send(0x80, 0x88, 0, 1, of()), () -> line.send(0x84, 0xCA, 1, 0, of()))) {
            terminal.select();
            terminal.pso();
            other.run();
            refused(0x6985, line.send(0x80, 0x82, 0x41, 0x11, agreement(Crypto.point(Crypto.newKeyPair()))));
        }
    }

    @Test
    void inTheChannelEverythingElseWipes() {
        for (Runnable other : List.<Runnable>of(() -> refused(0x6982, line.send(0, 0xCA, 0xFF, 0x33, of())),
            () -> refused(0x6D00, line.send(0x80, 0x01, 0, 0, of())), () -> refused(0x6E00, line.raw("FFCA0100")),
            () -> refused(0x6982, line.send(0x84, 0xCA, 1, 0, new byte[8])),
            () -> refused(0x6D00, line.send(0x84, 0x01, 1, 0, new byte[8])),
            () -> refused(0x6985, line.send(0x84, 0x82, 0x33, 0, new byte[16])),
            () -> refused(0x6982, line.send(0x80, 0x82, 0x41, 0x11, new byte[16])),
            () -> refused(0x6982, line.send(0x84, 0xCA, 1, 0, of())))) {
            Channel channel = token.openOwn(Certificates.READ);
            assertTrue(channel.send(0xCA, 1, 0).isOk());
            other.run();
            refused(0x6982, channel.send(0xCA, 1, 0));
        }
    }

    @Test
    void refusedCommandLeavesTheChannel() {
        Channel channel = token.openOwn(Certificates.READ);
        refused(0x6D00, channel.send(0x01, 0, 0));
        refused(0x6A80, channel.send(0xCA, 1, 2));
        refused(0x6700, channel.send(0xCA, 1, 0, of(1)));
        refused(0x6985, line.raw("00C0000000"));
        assertTrue(channel.send(0xCA, 1, 0).isOk());
    }

    @Test
    void replayReflectionAndReorderAreRefused() {
        Channel channel = token.openOwn(Certificates.READ);
        byte[] command = channel.wrap(0xCA, 1, 0, of());
        Answer answer = line.send(0x84, 0xCA, 1, 0, command);
        assertTrue(channel.unwrap(answer).isOk());
        refused(0x6982, line.send(0x84, 0xCA, 1, 0, command));
        channel = token.openOwn(Certificates.READ);
        channel.wrap(0xCA, 1, 0, of());
        refused(0x6982, line.send(0x84, 0xCA, 1, 0, channel.wrap(0xCA, 1, 0, of())));
        channel = token.openOwn(Certificates.READ);
        refused(0x6982, line.send(0x84, 0xCA, 1, 1, channel.wrap(0xCA, 1, 0, of())));
    }

    @Test
    void wrongPaddingUnderAGoodMac() {
        for (String padded : new String[] {"00".repeat(16), "80" + "00".repeat(31), "01" + "00".repeat(15)}) {
            Channel channel = token.openOwn(Certificates.READ);
            refused(0x6982, line.send(0x84, 0xCA, 1, 0, channel.wrapPadded(0xCA, 1, 0, hex(padded))));
            refused(0x6982, channel.send(0xCA, 1, 0));
        }
    }

    @Test
    void oddChains() {
        Channel channel = token.openOwn(Certificates.READ);
        assertTrue(line.raw("94CA010004 01020304").isOk());
        refused(0x6985, line.raw("00C0000000"));
        refused(0x6883, line.raw("84CA010104 01020304"));
        refused(0x6982, channel.send(0xCA, 1, 0));
        terminal.select();
        refused(0x6883, line.raw("902A031000 0004 01020304 0000"));
        assertTrue(line.raw("902A041004 01020304").isOk());
        assertTrue(terminal.pso().isOk());
        assertTrue(line.raw("902A031004 01020304").isOk());
        assertTrue(terminal.select().isOk());
        for (int i = 0; i < 2; i++) {
            assertTrue(line.raw(cat(hex("902A0310FF"), new byte[255])).isOk());
        }
        refused(0x6700, line.raw("802A031003 010203"));
        refused(0x6982, line.raw("94CA010004 01020304"));
    }

    @Test
    void selection() {
        // The platform reports that the applet is active on the basic channel.
        refused(0x6985, line.raw("01A404000A F0524F4C4C43414C4C01"));
        refused(0x6A82, line.raw("00A4040005 F0524F4C4C"));
        refused(0x6A82, line.raw("00A404000B F0524F4C4C43414C4C0100"));
        refused(0x6A80, line.raw("00A404020A F0524F4C4C43414C4C01"));
        refused(0x6E00, line.raw("80A404000A F0524F4C4C43414C4C01"));
        byte[] list = cat(tlv("42", Crypto.caId(token.ca)), hex("83021003"));
        assertArrayEquals(list, line.send(0, 0xCA, 0xFF, 0x33, of()).data());
        assertArrayEquals(tlv("FF33", list), line.send(0x80, 0xCA, 0xFF, 0x33, of()).data());
        assertArrayEquals(hex("83021003"),
            line.send(0, 0xCA, 0, 0x83, tlv("A6", tlv("42", Crypto.caId(token.ca)))).data());
        refused(0x6A88, line.send(0, 0xCA, 0, 0x83, tlv("A6", tlv("42", new byte[20]))));
    }

    @Test
    void twoCardsAndTwoKeysDiffer() {
        Enrollment other = Cards.open();
        assertFalse(Arrays.equals(token.own, token.identity));
        assertFalse(Arrays.equals(token.own, other.own));
        assertFalse(Arrays.equals(token.identity, other.identity));
    }
}
