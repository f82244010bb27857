package rollcall.terminal;

import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import java.security.KeyPair;
import java.util.Arrays;

/** A test terminal with its key and certificate: SELECT, PSO, MUTUAL AUTHENTICATE. */
public final class Scp11a {

    public static final byte[] PARAMETERS = hex("A60D 90021101 95013C 800188 810110");
    public static final byte[] AID = hex("F0524F4C4C43414C4C01");

    public final Line line;
    public KeyPair key = Crypto.newKeyPair();
    public byte[] certificate;
    public int caKvn = 3;
    public byte[] selected;
    public byte[] binding;
    /** K of the last handshake. */
    public byte[] resumptionKey;

    public Scp11a(Line line, KeyPair ca, int role) {
        this.line = line;
        certificate = new Certificates(ca, Crypto.point(key), role).der();
    }

    public Answer select() {
        Answer answer = line.send(0x00, 0xA4, 4, 0, AID);
        selected = answer.data();
        return answer;
    }

    public Answer pso() {
        return line.send(0x80, 0x2A, caKvn, 0x10, certificate);
    }

    /** @param ecka the point of the token's (or the set's) key, from its certificate */
    public Channel agree(int kvn, byte[] ecka) {
        KeyPair ephemeral = Crypto.newKeyPair();
        byte[] data = cat(PARAMETERS, tlv("5F49", Crypto.point(ephemeral)));
        Answer answer = line.send(0x80, 0x82, kvn, 0x11, data);
        if (!answer.isOk()) {
            throw new IllegalStateException("MUTUAL AUTHENTICATE: " + answer);
        }
        Channel channel = derive(ephemeral, data, answer, ecka);
        if (channel == null) {
            throw new IllegalStateException("wrong receipt");
        }
        return channel;
    }

    /** Derives the channel from this answer to MUTUAL AUTHENTICATE; null when the receipt is wrong. */
    public Channel derive(KeyPair ephemeral, byte[] data, Answer answer, byte[] ecka) {
        byte[] point = part(answer.data(), 3, 65);
        byte[] z = cat(Crypto.ecdh(ephemeral, point), Crypto.ecdh(key, ecka));
        byte[] keys = kdf(z);
        byte[] receipt = Crypto.cmac(part(keys, 0, 16), data, tlv("5F49", point));
        if (!Arrays.equals(answer.data(), cat(tlv("5F49", point), tlv("86", receipt)))) {
            return null;
        }
        resumptionKey = part(keys, 80, 16);
        binding = Crypto.sha256(selected, Crypto.sha256(certificate), data, answer.data());
        return new Channel(line, part(keys, 16, 16), part(keys, 32, 16), part(keys, 48, 16),
            part(keys, 64, 16), receipt);
    }

    public Channel open(int kvn, byte[] ecka) {
        if (!select().isOk() || !pso().isOk()) {
            throw new IllegalStateException("SELECT or PSO refused");
        }
        return agree(kvn, ecka);
    }

    private static byte[] kdf(byte[] z) {
        byte[] info = hex("3C8810");
        return cat(Crypto.sha256(z, of(0, 0, 0, 1), info), Crypto.sha256(z, of(0, 0, 0, 2), info),
            Crypto.sha256(z, of(0, 0, 0, 3), info));
    }

    /** The identifier under which a token keeps this terminal's slot. */
    public byte[] tid() {
        return part(Crypto.sha256(Crypto.point(key)), 0, 8);
    }

    public byte[] thumbprint() {
        byte[] point = Crypto.point(key);
        return Crypto.sha256(hex("A40102200121 5820"), part(point, 1, 32), hex("225820"), part(point, 33, 32));
    }
}
