package rollcall.terminal;

import java.util.function.UnaryOperator;

/** Sends commands to a card, in one of the ways in which clients put them into APDUs. */
public final class Line {

    /** How a command is put into APDUs. */
    public enum Dialect { EXTENDED, SHORT_CHAINING, SMALL_PIECES }

    private static final int SMALL = 100;

    private final UnaryOperator<byte[]> card;
    public Dialect dialect = Dialect.EXTENDED;
    /** Le of short APDUs and of GET RESPONSE. */
    public int le = 0xF0;
    /** Whether to send Le: cases 4 and 2, else 3 and 1, even though there is an answer. */
    public boolean withLe = true;
    public int exchanges;

    public Line(UnaryOperator<byte[]> card) {
        this.card = card;
    }

    public Answer raw(byte[] apdu) {
        exchanges++;
        return Answer.of(card.apply(apdu));
    }

    public Answer raw(String apdu) {
        return raw(Bytes.hex(apdu));
    }

    public Answer send(int cla, int ins, int p1, int p2, byte[] data) {
        if (dialect == Dialect.EXTENDED) {
            return collect(raw(extended(Bytes.of(cla, ins, p1, p2), data)), cla);
        }
        int room = dialect == Dialect.SMALL_PIECES ? SMALL : 255;
        int at = 0;
        while (data.length - at > room) {
            Answer piece = raw(Bytes.cat(Bytes.of(cla | 0x10, ins, p1, p2, room), Bytes.part(data, at, room)));
            if (!piece.isOk()) {
                return piece;
            }
            at += room;
        }
        byte[] last = Bytes.part(data, at, data.length - at);
        byte[] lc = last.length == 0 ? new byte[0] : Bytes.of(last.length);
        return collect(raw(Bytes.cat(Bytes.of(cla, ins, p1, p2), lc, last, withLe ? Bytes.of(le) : new byte[0])), cla);
    }

    private byte[] extended(byte[] header, byte[] data) {
        byte[] lc = data.length == 0 ? data : Bytes.be(data.length, 2);
        byte[] rest = Bytes.cat(lc, data, withLe ? Bytes.of(0, 0) : new byte[0]);
        return rest.length == 0 ? header : Bytes.cat(header, Bytes.of(0), rest);
    }

    private Answer collect(Answer first, int cla) {
        Answer answer = first;
        while (answer.status() >> 8 == 0x61) {
            int waiting = answer.status() & 0xFF;
            int want = waiting == 0 || waiting > le && le != 0 ? le : waiting;
            Answer next = raw(Bytes.of(cla, 0xC0, 0, 0, want));
            answer = new Answer(Bytes.cat(answer.data(), next.data()), next.status());
        }
        return answer;
    }

    /** Whether Lc of a command with this much data enters the C-MAC in its extended form. */
    boolean extendedLc(int length) {
        return dialect == Dialect.EXTENDED || length > 255;
    }
}
