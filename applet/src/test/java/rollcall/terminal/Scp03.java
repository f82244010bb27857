package rollcall.terminal;

import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;

import java.util.Arrays;

/** The terminal's side of opening an SCP03 channel. */
public final class Scp03 {

    public static final byte[] TEST_KEYS =
        Bytes.hex("404142434445464748494A4B4C4D4E4F".repeat(3));

    private Scp03() {
    }

    /** @param keys ENC, MAC and DEK concatenated */
    public static Channel open(Line line, byte[] keys) {
        Channel channel = begin(line, keys);
        Answer answer = finish(line, channel, keys);
        if (!answer.isOk()) {
            throw new IllegalStateException("EXTERNAL AUTHENTICATE: " + answer);
        }
        return channel;
    }

    /** The KDF context (both challenges) of the session this thread opens. */
    private static final ThreadLocal<byte[]> CONTEXT = new ThreadLocal<>();

    public static Channel begin(Line line, byte[] keys) {
        byte[] host = Crypto.random(8);
        return derive(line, keys, host, line.send(0x80, 0x50, 0, 0, host));
    }

    /** Derives the session from this answer to INITIALIZE UPDATE. */
    public static Channel derive(Line line, byte[] keys, byte[] host, Answer answer) {
        if (!answer.isOk()) {
            throw new IllegalStateException("INITIALIZE UPDATE: " + answer);
        }
        byte[] data = answer.data();
        if (data.length != 29 || data[11] != 3 || data[12] != 0x60) {
            throw new IllegalStateException("INITIALIZE UPDATE: " + answer);
        }
        CONTEXT.set(cat(host, part(data, 13, 8)));
        byte[] staticMac = part(keys, 16, 16);
        byte[] mac = derive(staticMac, 6, 128);
        if (!Arrays.equals(part(derive(mac, 0, 64), 0, 8), part(data, 21, 8))) {
            throw new IllegalStateException("wrong card cryptogram");
        }
        return new Channel(line, derive(part(keys, 0, 16), 4, 128), mac, derive(staticMac, 7, 128),
            part(keys, 32, 16), new byte[16]);
    }

    public static Answer finish(Line line, Channel channel, byte[] keys) {
        byte[] cryptogram = hostCryptogram(keys);
        byte[] data = cat(cryptogram, channel.authenticate(0x82, 0x33, 0, cryptogram));
        return line.send(0x84, 0x82, 0x33, 0, data);
    }

    public static byte[] hostCryptogram(byte[] keys) {
        return part(derive(derive(part(keys, 16, 16), 6, 128), 1, 64), 0, 8);
    }

    private static byte[] derive(byte[] key, int constant, int bits) {
        return Crypto.cmac(key, new byte[11], of(constant, 0, 0, bits, 1), CONTEXT.get());
    }
}
