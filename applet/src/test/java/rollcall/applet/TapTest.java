package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.be;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import rollcall.bridge.SimulatedCard;
import rollcall.terminal.Answer;
import rollcall.terminal.Bytes;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** A token's whole path, from blank to a verified presence proof, in every dialect of APDU transport. */
class TapTest {

    /** From this value on, four bytes are the shortest CBOR form of the counter. */
    private static final int FIRST_USE = 0x10000;

    @ParameterizedTest
    @CsvSource({
        "EXTENDED, 240, true, 0x84, false", "EXTENDED, 240, false, 0x04, true",
        "SHORT_CHAINING, 240, true, 0x84, true", "SHORT_CHAINING, 0, false, 0x04, false",
        "SMALL_PIECES, 240, false, 0x84, true", "SMALL_PIECES, 7, true, 0x04, false",
    })
    void proof(Line.Dialect dialect, int le, boolean emptyBlock, String cla, boolean isPrivate) {
        byte[] keys = isPrivate ? Crypto.random(48) : rollcall.terminal.Scp03.TEST_KEYS;
        SimulatedCard card = new SimulatedCard(isPrivate ? keys : new byte[0]);
        Line line = new Line(card::transmit);
        line.dialect = dialect;
        line.le = le;
        Enrollment token = new Enrollment(line, keys);
        token.isPrivate = isPrivate;
        token.run();

        Scp11a terminal = token.terminal(Certificates.READ);
        Channel channel = isPrivate ? terminal.open(1, Crypto.point(token.set)) : terminal.open(0x41, token.own);
        channel.cla = Integer.decode(cla);
        channel.emptyBlock = emptyBlock;
        byte[] expected = selectAnswer(token);
        assertArrayEquals(expected, terminal.selected);
        assertArrayEquals(hex("1F"), channel.send(0xCA, 1, 0).data());
        for (int use = FIRST_USE; use < FIRST_USE + 40; use++) {
            verifyProof(token, terminal, channel, use);
        }
        assertArrayEquals(token.record, channel.send(0xCA, 1, 1).data());
        assertArrayEquals(token.identityCertificate, channel.send(0xCA, 0x7F, 0x21).data());
    }

    private static byte[] selectAnswer(Enrollment token) {
        byte[] ca = tlv("83", part(Crypto.caId(token.ca), 0, 8));
        byte[] mode = token.isPrivate ? tlv("84", part(Crypto.sha256(token.setCertificate), 0, 8))
            : tlv("85", token.tokenId);
        byte[] kvn = hex(token.isPrivate ? "820101" : "820141");
        return tlv("6F", tlv("84", Scp11a.AID), tlv("A5", hex("80020100 81011F"), kvn, ca, mode));
    }

    private static void verifyProof(Enrollment token, Scp11a terminal, Channel channel, int use) {
        byte[] nonce = Crypto.random(32);
        verifyProof(token, terminal, channel.send(0x88, 0, 1, nonce), nonce, use);
    }

    static void verifyProof(Enrollment token, Scp11a terminal, Answer proof, byte[] nonce, int use) {
        byte[] answer = proof.data();
        byte[] signature = part(answer, 26, answer[25]);
        byte[] record = Arrays.copyOf(token.record, 120);
        assertArrayEquals(
            cat(tlv("83", token.tokenId), tlv("80", be(use, 4)), tlv("9E", signature), tlv("53", record)), answer);
        byte[] payload = cat(hex("A6 08A1055820"), terminal.thumbprint(), hex("0A5820"), nonce,
            hex("1901005101"), token.tokenId, hex("3A000111705820"), terminal.binding,
            hex("3A000111711A"), be(use, 4), hex("3A000111725820"), Crypto.sha256(record));
        byte[] signed = cat(hex("846A"), "Signature1".getBytes(), hex("581EA2012610 7818"),
            "application/x.rollcall-1".getBytes(), hex("4058B6"), payload);
        assertEquals(229, signed.length);
        assertTrue(Crypto.verify(token.identity, signed, signature), Bytes.hex(signed));
    }
}
