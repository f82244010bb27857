package rollcall.terminal;

import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import java.security.KeyPair;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import javax.crypto.Cipher;

/** Enrolls a blank card, up to ISSUED. The steps are separate, so that tests can leave one out or tear one. */
public final class Enrollment {

    public static final byte[] RECORD = hex("A2016431323334026541646F6C66");

    public final Line line;
    public final byte[] startKeys;
    public final byte[] tokenKeys = Crypto.random(48);
    public KeyPair ca = Crypto.newKeyPair();
    public KeyPair set = Crypto.newKeyPair();
    public byte[] tokenId = Crypto.random(16);
    public boolean isPrivate;
    public byte[] own;
    public byte[] identity;
    public byte[] ownCertificate;
    public byte[] setCertificate;
    public byte[] identityCertificate;
    public byte[] record = RECORD;
    public Channel channel;
    private final List<byte[]> extra = new ArrayList<>();

    public Enrollment(Line line, byte[] startKeys) {
        this.line = line;
        this.startKeys = startKeys;
    }

    public void open(byte[] keys) {
        ok("SELECT", line.send(0x00, 0xA4, 4, 0, Scp11a.AID));
        channel = Scp03.open(line, keys);
    }

    public void reset() {
        ok("RESET", channel.send(0xF0, 0x40, 0x07));
    }

    public void putTokenKeys() {
        byte[] data = of(1);
        for (int i = 0; i < 3; i++) {
            byte[] key = part(tokenKeys, 16 * i, 16);
            data = cat(data, tlv("88", encrypt(key)), of(3), Crypto.checkValue(key));
        }
        ok("PUT KEY 01", channel.send(0xD8, 0, 0x81, data));
    }

    public byte[] encrypt(byte[] secret) {
        return Crypto.aesCbc(Cipher.ENCRYPT_MODE, channel.dek, new byte[16], secret);
    }

    public void putMode() {
        ok("mode", channel.send(0xDA, 1, 0, of(isPrivate ? 1 : 0), tokenId));
    }

    public void putCaKey(KeyPair key, int kvn) {
        ok("PUT KEY 10", channel.send(0xD8, 0, 0x10, caKey(key, kvn)));
        ok("STORE DATA CA id", channel.send(0xE2, 0x90, 0,
            tlv("A6", hex("800100"), tlv("42", Crypto.caId(key)), tlv("83", of(0x10, kvn)))));
    }

    public static byte[] caKey(KeyPair key, int kvn) {
        return cat(of(kvn), tlv("B0", Crypto.point(key)), hex("F0010000"));
    }

    public void generateOwn() {
        own = generate(0x11, 0x41);
    }

    public byte[] generate(int kid, int kvn) {
        Answer answer = ok("GENERATE KEY", channel.send(0xF1, 0, kid, of(kvn), hex("F00100")));
        return part(answer.data(), 2, 65);
    }

    public void certifyOwn() {
        ownCertificate = certificate(own, Certificates.TOKEN);
        storeCertificate(0x41, ownCertificate);
    }

    public byte[] certificate(byte[] point, int role) {
        Certificates certificate = new Certificates(ca, point, role);
        certificate.subject = uuid();
        certificate.notAfter = "360101000000Z";
        return certificate.der();
    }

    public void storeCertificate(int kvn, byte[] der) {
        ok("STORE DATA", channel.send(0xE2, 0x90, 0, certificateStore(kvn, der)));
    }

    public static byte[] certificateStore(int kvn, byte[] der) {
        return cat(tlv("A6", tlv("83", of(0x11, kvn))), tlv("BF21", der));
    }

    public void putSetKey(KeyPair key, int kvn) {
        ok("PUT KEY 11", channel.send(0xD8, 0, 0x11, setKey(key, kvn)));
    }

    public byte[] setKey(KeyPair key, int kvn) {
        return cat(of(kvn), tlv("B1", encrypt(Crypto.scalar(key))), hex("F0010000"));
    }

    public void certifySet() {
        if (setCertificate == null) {
            setCertificate = certificate(Crypto.point(set), Certificates.SET);
        }
        storeCertificate(1, setCertificate);
    }

    public void generateIdentity() {
        identity = generate(0x21, 1);
    }

    public void certifyIdentity() {
        identityCertificate = certificate(identity, Certificates.IDENTITY);
        putIdentityCertificate();
    }

    public void putIdentityCertificate() {
        ok("7F21", channel.send(0xDA, 0x7F, 0x21, identityCertificate));
    }

    public void putRecord() {
        ok("record", channel.send(0xDA, 1, 1, record));
    }

    /** Puts an object in parts and adds it to the manifest. */
    public void putInParts(int tag, byte[] data) {
        putInParts(channel, tag, data);
        extra.add(cat(of(1, tag, 0), Crypto.sha256(data)));
    }

    public static void putInParts(Channel channel, int tag, byte[] data) {
        for (int at = 0; at < data.length; at += 224) {
            byte[] piece = part(data, at, Math.min(224, data.length - at));
            ok("part", channel.send(0xD7, 1, tag, tlv("54", Bytes.be(at, 2)), tlv("53", piece)));
        }
        ok("commit", channel.send(0xDA, 1, tag, tlv("80", Bytes.be(data.length, 2)), tlv("81", Crypto.sha256(data))));
    }

    public Answer issue() {
        return channel.send(0xF0, 0x40, 0x1F, manifest());
    }

    public byte[] manifest() {
        List<byte[]> entries = new ArrayList<>(extra);
        for (int i = 0; i < 3; i++) {
            entries.add(cat(of(i + 1, 1), Crypto.checkValue(part(tokenKeys, 16 * i, 16))));
        }
        entries.add(cat(of(0x10, 3), Crypto.point(ca)));
        entries.add(cat(of(0x11, 0x41), own));
        entries.add(cat(of(0x21, 1), identity));
        entries.add(cat(hex("BF2141"), Crypto.sha256(ownCertificate)));
        entries.add(cat(hex("7F2100"), Crypto.sha256(identityCertificate)));
        entries.add(cat(hex("010000"), Crypto.sha256(of(isPrivate ? 1 : 0), tokenId)));
        entries.add(cat(hex("010100"), Crypto.sha256(record)));
        if (isPrivate) {
            entries.add(cat(of(0x11, 1), Crypto.point(set)));
            entries.add(cat(hex("BF2101"), Crypto.sha256(setCertificate)));
        }
        entries.sort(Arrays::compareUnsigned);
        return Crypto.sha256(entries.toArray(new byte[0][]));
    }

    public List<Runnable> steps() {
        List<Runnable> steps = new ArrayList<>(List.of(this::reset, this::putTokenKeys, this::putMode,
            () -> putCaKey(ca, 3), this::generateOwn, this::certifyOwn));
        if (isPrivate) {
            steps.add(() -> putSetKey(set, 1));
            steps.add(this::certifySet);
        }
        steps.addAll(List.of(this::generateIdentity, this::certifyIdentity, this::putRecord,
            () -> ok("ISSUED", issue())));
        return steps;
    }

    public Enrollment run() {
        open(startKeys);
        steps().forEach(Runnable::run);
        return this;
    }

    public String uuid() {
        java.nio.ByteBuffer id = java.nio.ByteBuffer.wrap(tokenId);
        return new UUID(id.getLong(), id.getLong()).toString();
    }

    public static Answer ok(String what, Answer answer) {
        if (!answer.isOk()) {
            throw new IllegalStateException(what + ": " + answer);
        }
        return answer;
    }

    public Scp11a terminal(int role) {
        return new Scp11a(line, ca, role);
    }

    public Channel openOwn(int role) {
        return terminal(role).open(0x41, own);
    }
}
