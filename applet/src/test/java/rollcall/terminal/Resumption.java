package rollcall.terminal;

import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;

import java.util.Arrays;

/** The terminal's side of RESUME, with the key of an earlier channel. */
public final class Resumption {

    public static final int RESUME = 0x86;
    private static final int NONCE = 16;
    private static final int CRYPTOGRAM = 8;

    /** The SELECT answer, without its status. */
    public byte[] selected;
    public byte[] tid;
    public byte[] key;
    public byte[] nonce;
    public byte[] cardNonce;
    public Answer answer;

    /** Uses the key from this terminal's last full handshake with the token. */
    public Resumption(Scp11a terminal) {
        tid = terminal.tid();
        key = terminal.resumptionKey;
    }

    /** Sends SELECT and RESUME; returns the channel, or null when the cryptogram does not match the key. */
    public Channel open(Line line) {
        selected = line.send(0x00, 0xA4, 4, 0, Scp11a.AID).data();
        return resume(line);
    }

    public Channel resume(Line line) {
        nonce = Crypto.random(NONCE);
        answer = line.send(0x80, RESUME, 0, 0, cat(tid, nonce));
        return answer.isOk() ? derive(line) : null;
    }

    private Channel derive(Line line) {
        if (answer.data().length != NONCE + CRYPTOGRAM) {
            throw new IllegalStateException("RESUME: " + answer);
        }
        cardNonce = part(answer.data(), 0, NONCE);
        return Arrays.equals(part(chain(), 0, CRYPTOGRAM), part(answer.data(), NONCE, CRYPTOGRAM)) ? channel(line) : null;
    }

    /** The channel derived from these nonces, whether or not the cryptogram matched. */
    public Channel channel(Line line) {
        byte[] nonces = cat(nonce, cardNonce);
        return new Channel(line, value(0x44, nonces), value(0x46, nonces), value(0x47, nonces), new byte[16], chain());
    }

    /** The first chaining value, whose first half is the cryptogram. */
    public byte[] chain() {
        return value(0x42, cat(nonce, cardNonce, selected));
    }

    private byte[] value(int constant, byte[] context) {
        return Crypto.cmac(key, new byte[11], of(constant, 0, 0, 0x80, 1), context);
    }
}
