package rollcall.terminal;

import static rollcall.terminal.Bytes.be;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;

import java.util.Arrays;
import javax.crypto.Cipher;

/** The terminal's end of secure messaging, level 33. */
public final class Channel {

    public final Line line;
    private final byte[] enc;
    private final byte[] mac;
    private final byte[] rmac;
    public final byte[] dek;
    public byte[] chain;
    public long counter;
    /** Without data, some clients send an encrypted padding block and some nothing. */
    public boolean emptyBlock = true;
    public int cla = 0x84;

    public Channel(Line line, byte[] enc, byte[] mac, byte[] rmac, byte[] dek, byte[] chain) {
        this.line = line;
        this.enc = enc;
        this.mac = mac;
        this.rmac = rmac;
        this.dek = dek;
        this.chain = chain;
    }

    public Answer send(int ins, int p1, int p2, byte[]... parts) {
        return unwrap(line.send(cla, ins, p1, p2, wrap(ins, p1, p2, cat(parts))));
    }

    /** Data and C-MAC of the next command. */
    public byte[] wrap(int ins, int p1, int p2, byte[] data) {
        return wrapPadded(ins, p1, p2, data.length == 0 && !emptyBlock ? data : pad(data));
    }

    public byte[] wrapPadded(int ins, int p1, int p2, byte[] padded) {
        counter++;
        byte[] encrypted = padded.length == 0 ? padded
            : Crypto.aesCbc(Cipher.ENCRYPT_MODE, enc, icv(0), padded);
        return cat(encrypted, authenticate(ins, p1, p2, encrypted));
    }

    public byte[] authenticate(int ins, int p1, int p2, byte[] data) {
        int n = data.length + 8;
        byte[] lc = line.extendedLc(n) ? cat(of(0), be(n, 2)) : of(n);
        chain = Crypto.cmac(mac, chain, of(cla, ins, p1, p2), lc, data);
        return part(chain, 0, 8);
    }

    /** Verifies and decrypts an answer. An error status carries no MAC; everything else must. */
    public Answer unwrap(Answer answer) {
        if (!answer.isOk()) {
            return answer;
        }
        int n = answer.data().length - 8;
        if (n < 0) {
            throw new IllegalStateException("no R-MAC");
        }
        byte[] data = part(answer.data(), 0, n);
        byte[] expected = Crypto.cmac(rmac, chain, data, be(answer.status(), 2));
        if (!Arrays.equals(part(expected, 0, 8), part(answer.data(), n, 8))) {
            throw new IllegalStateException("wrong R-MAC");
        }
        return new Answer(n == 0 ? data : unpad(Crypto.aesCbc(Cipher.DECRYPT_MODE, enc, icv(0x80), data)), 0x9000);
    }

    private byte[] icv(int direction) {
        byte[] block = be(counter, 16);
        block[0] = (byte) direction;
        return Crypto.aes(enc, block);
    }

    private static byte[] pad(byte[] data) {
        byte[] padded = Arrays.copyOf(data, (data.length / 16 + 1) * 16);
        padded[data.length] = (byte) 0x80;
        return padded;
    }

    private static byte[] unpad(byte[] data) {
        int n = data.length - 1;
        while (data[n] == 0) {
            n--;
        }
        if (data[n] != (byte) 0x80) {
            throw new IllegalStateException("wrong padding");
        }
        return part(data, 0, n);
    }
}
