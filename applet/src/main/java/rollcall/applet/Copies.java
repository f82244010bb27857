package rollcall.applet;

import javacard.framework.Util;

/** Two copies of a byte string, each with its length in front. Somebody else remembers which one is in force. */
class Copies {

    private static final short DATA = 2;

    protected final Persistent store;
    final short capacity;
    private final byte[] first;
    private final byte[] second;

    Copies(Persistent store, short capacity) {
        this.store = store;
        this.capacity = capacity;
        first = new byte[(short) (capacity + DATA)];
        second = new byte[(short) (capacity + DATA)];
    }

    private byte[] copy(byte number) {
        return number == 2 ? second : first;
    }

    short length(byte number) {
        return Util.getShort(copy(number), (short) 0);
    }

    short read(byte number, short from, byte[] to, short offset, short length) {
        return Util.arrayCopyNonAtomic(copy(number), (short) (from + DATA), to, offset, length);
    }

    void write(byte number, byte[] from, short offset, short length) {
        writePart(number, (short) 0, from, offset, length);
        writeLength(number, length);
    }

    void writePart(byte number, short at, byte[] from, short offset, short length) {
        store.copy(from, offset, copy(number), (short) (at + DATA), length);
    }

    void writeLength(byte number, short length) {
        store.writeShort(copy(number), (short) 0, length);
    }

    void hash(byte number, short length, Ec ec, byte[] to, short offset) {
        ec.sha256.doFinal(copy(number), DATA, length, to, offset);
    }

    void zero() {
        store.zero(first);
        store.zero(second);
    }
}
