package rollcall.terminal;

/** A card's answer: data and status word. */
public record Answer(byte[] data, int status) {

    static Answer of(byte[] raw) {
        int n = raw.length - 2;
        return new Answer(Bytes.part(raw, 0, n), (raw[n] & 0xFF) << 8 | raw[n + 1] & 0xFF);
    }

    public boolean isOk() {
        return status == 0x9000;
    }

    @Override
    public String toString() {
        return Bytes.hex(data) + " " + String.format("%04X", status);
    }
}
