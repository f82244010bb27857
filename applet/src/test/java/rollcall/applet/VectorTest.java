package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import rollcall.terminal.Answer;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** Checks the applet against bytes computed by independent code: ../tests/vectors, which the Rust side reads too. */
class VectorTest {

    private static final byte[] START_KEYS = Crypto.random(48);
    private static final int EARLIER_PROOFS = 6;

    private static JsonObject read(String name) throws IOException {
        return JsonParser.parseString(Files.readString(Path.of("../tests/vectors", name))).getAsJsonObject();
    }

    private static byte[] bytes(JsonObject in, String... path) {
        JsonObject at = in;
        for (int i = 0; i < path.length - 1; i++) {
            at = at.getAsJsonObject(path[i]);
        }
        return hex(at.get(path[path.length - 1]).getAsString());
    }

    /** Sends the wrapped APDUs unchanged and collects the wrapped answer. */
    private static Answer exchange(Line line, JsonObject exchange) {
        Answer answer = null;
        for (JsonElement apdu : exchange.getAsJsonArray("apdus")) {
            answer = line.raw(apdu.getAsString());
        }
        byte[] data = answer.data();
        while (answer.status() >> 8 == 0x61) {
            answer = line.raw("00C0000000");
            data = cat(data, answer.data());
        }
        return new Answer(data, answer.status());
    }

    @Test
    void scp03() throws IOException {
        JsonObject vector = read("scp03.json");
        byte[] keys = new byte[0];
        for (JsonElement key : vector.getAsJsonArray("static")) {
            keys = cat(keys, hex(key.getAsString()));
        }
        WatchedCard card = new WatchedCard(START_KEYS, bytes(vector, "diversification"));
        Line line = new Line(card::transmit);
        Enrollment token = new Enrollment(line, START_KEYS);
        System.arraycopy(keys, 0, token.tokenKeys, 0, keys.length);
        token.open(START_KEYS);
        token.putTokenKeys();

        card.draw(bytes(vector, "card_challenge"));
        Answer challenge = line.raw(cat(hex("8050000008"), bytes(vector, "host_challenge"), of(0)));
        assertArrayEquals(bytes(vector, "initialize_update_answer"), challenge.data());
        assertTrue(line.raw(bytes(vector, "external_authenticate")).isOk());
        for (JsonElement each : vector.getAsJsonArray("exchanges")) {
            JsonObject exchange = each.getAsJsonObject();
            assertArrayEquals(bytes(exchange, "wrapped"), exchange(line, exchange).data(),
                exchange.get("name").getAsString());
        }
    }

    @Test
    void scp11a() throws IOException {
        JsonObject vector = read("scp11a.json");
        WatchedCard card = new WatchedCard(START_KEYS);
        Line line = new Line(card::transmit);
        Enrollment token = enroll(vector, card, line);
        agree(vector, card, line);

        Channel channel = channel(vector, line);
        for (JsonElement each : vector.getAsJsonArray("exchanges")) {
            JsonObject exchange = each.getAsJsonObject();
            String name = exchange.get("name").getAsString();
            channel.cla = bytes(exchange, "header")[0] & 0xFF;
            advance(channel, exchange);
            Answer answer = exchange(line, exchange);
            if (name.startsWith("STORE DATA")) {
                // The vector's terminal may only read. Its MAC is valid nevertheless: a wrong one would end the
                // session.
                assertEquals(0x6982, answer.status());
                assertTrue(channel.send(0xCA, 1, 0).isOk());
                return;
            }
            assertEquals(bytes(exchange, "wrapped").length, answer.data().length, name);
            if (name.equals("INTERNAL AUTHENTICATE")) {
                verifyProof(vector, token, channel.unwrap(answer).data());
            } else {
                assertArrayEquals(bytes(exchange, "wrapped"), answer.data(), name);
            }
        }
    }

    /** Runs the handshake of the vector. */
    private static void agree(JsonObject vector, WatchedCard card, Line line) {
        assertArrayEquals(bytes(vector, "select_answer"), line.raw("00A404000AF0524F4C4C43414C4C0100").data());
        line.dialect = Line.Dialect.SHORT_CHAINING;
        assertTrue(line.send(0x80, 0x2A, 3, 0x10, bytes(vector, "terminal", "certificate")).isOk());
        byte[] data = bytes(vector, "mutual_authenticate", "data");
        card.draw(of(0));
        card.draw(bytes(vector, "ephemeral", "token"));
        assertArrayEquals(bytes(vector, "mutual_authenticate", "answer"), line.send(0x80, 0x82, 0x41, 0x11, data).data());
    }

    /** Fills a slot in the handshake of the other vector and resumes three channels from it. */
    @Test
    void fastTap() throws IOException {
        JsonObject full = read("scp11a.json");
        JsonObject vector = read("fast_tap.json");
        WatchedCard card = new WatchedCard(START_KEYS);
        Line line = new Line(card::transmit);
        Enrollment token = enroll(full, card, line);
        agree(full, card, line);
        JsonObject proof = vector.getAsJsonObject("full");
        Channel channel = channel(full, line);
        channel.cla = bytes(proof, "header")[0] & 0xFF;
        advance(channel, proof);
        verifyProof(full, token, channel.unwrap(exchange(line, proof)).data());
        byte[] key = new byte[16];
        card.slots().readKey(card.slots().find(bytes(vector, "terminal_id"), (short) 0), key, (short) 0);
        assertArrayEquals(bytes(vector, "key"), key);

        for (JsonElement one : vector.getAsJsonArray("dialogues")) {
            JsonObject dialogue = one.getAsJsonObject();
            String name = dialogue.get("name").getAsString();
            line.raw("00A404000AF0524F4C4C43414C4C0100");
            card.draw(bytes(dialogue, "card_nonce"));
            assertArrayEquals(bytes(dialogue, "answer"), line.raw(bytes(dialogue, "resume")).data(), name);
            for (JsonElement each : dialogue.getAsJsonArray("exchanges")) {
                JsonObject exchange = each.getAsJsonObject();
                assertArrayEquals(bytes(exchange, "wrapped"), exchange(line, exchange).data(),
                    name + ", " + exchange.get("name").getAsString());
            }
        }
    }

    /** Enrolls the token of the vector and makes its earlier proofs. */
    private static Enrollment enroll(JsonObject vector, WatchedCard card, Line line) {
        Enrollment token = new Enrollment(line, START_KEYS);
        token.ca = Crypto.keyPair(bytes(vector, "ca", "scalar"), bytes(vector, "ca", "point"));
        token.tokenId = bytes(vector, "token", "id");
        token.record = bytes(vector, "proof", "record");
        token.ownCertificate = bytes(vector, "token", "ecka_certificate");
        token.identityCertificate = bytes(vector, "token", "identity_certificate");
        token.open(START_KEYS);
        token.reset();
        token.putTokenKeys();
        token.putMode();
        token.putCaKey(token.ca, 3);
        card.draw(bytes(vector, "token", "ecka_scalar"));
        token.generateOwn();
        token.storeCertificate(0x41, token.ownCertificate);
        card.draw(bytes(vector, "token", "identity_scalar"));
        token.generateIdentity();
        token.putIdentityCertificate();
        token.putRecord();
        token.putInParts(2, details(vector));
        Enrollment.ok("ISSUED", token.issue());
        Scp11a terminal = token.terminal(Certificates.READ);
        Certificates certificate = new Certificates(token.ca, Crypto.point(terminal.key), Certificates.READ);
        certificate.notAfter = "491231000000Z";
        terminal.certificate = certificate.der();
        Channel earlier = terminal.open(0x41, token.own);
        for (int i = 0; i < EARLIER_PROOFS; i++) {
            Enrollment.ok("proof", earlier.send(0x88, 0, 1, new byte[32]));
        }
        return token;
    }

    /** As much of the details as the vector reads. */
    private static byte[] details(JsonObject vector) {
        for (JsonElement each : vector.getAsJsonArray("exchanges")) {
            JsonObject exchange = each.getAsJsonObject();
            if (exchange.get("header").getAsString().equals("04b10102")) {
                byte[] command = bytes(exchange, "data");
                byte[] answer = bytes(exchange, "answer");
                byte[] before = new byte[(command[2] & 0xFF) << 8 | command[3] & 0xFF];
                return cat(before, part(answer, 3, answer.length - 3));
            }
        }
        throw new IllegalStateException("the vector reads no details");
    }

    private static Channel channel(JsonObject vector, Line line) {
        byte[] keys = bytes(vector, "mutual_authenticate", "derived");
        return new Channel(line, part(keys, 16, 16), part(keys, 32, 16), part(keys, 48, 16), part(keys, 64, 16),
            bytes(vector, "mutual_authenticate", "receipt"));
    }

    /** Advances the terminal's own channel (counter and MAC chain) by what the vector sends. */
    private static void advance(Channel channel, JsonObject exchange) {
        byte[] header = bytes(exchange, "header");
        channel.line.dialect = exchange.get("format").getAsString().equals("extended")
            ? Line.Dialect.EXTENDED : Line.Dialect.SHORT_CHAINING;
        channel.emptyBlock = false;
        channel.wrap(header[1] & 0xFF, header[2] & 0xFF, header[3] & 0xFF, bytes(exchange, "data"));
    }

    /** The signature is random; everything else must match. */
    private static void verifyProof(JsonObject vector, Enrollment token, byte[] answer) {
        byte[] expected = bytes(vector, "proof", "answer");
        byte[] signature = part(answer, 26, answer[25]);
        assertArrayEquals(part(expected, 0, 24), part(answer, 0, 24));
        assertArrayEquals(tlv("53", java.util.Arrays.copyOf(token.record, 120)), part(answer, answer.length - 122, 122));
        assertTrue(Crypto.verify(token.identity, bytes(vector, "proof", "sig_structure"), signature));
    }
}
