package rollcall.applet;

import javacard.framework.Util;

/** Copies of a byte string, numbered from 1, each preceded by its length. The caller tracks which copy is in force. */
class Copies {

    private static final short DATA = 2;
    /** One copy in force, and one to write its replacement to. */
    static final byte TWO = 2;

    protected final Persistent store;
    final short capacity;
    private final byte[] all;

    Copies(Persistent store, short capacity, byte count) {
        this.store = store;
        this.capacity = capacity;
        all = new byte[(short) (count * (capacity + DATA))];
    }

    private short at(byte number) {
        return number == 0 ? 0 : (short) ((number - 1) * (capacity + DATA));
    }

    /** The copy to write to while copy {@code inForce} is in force. */
    byte free(byte inForce) {
        return inForce == 1 ? (byte) 2 : (byte) 1;
    }

    short length(byte number) {
        return Util.getShort(all, at(number));
    }

    short read(byte number, short from, byte[] to, short offset, short length) {
        return Util.arrayCopyNonAtomic(all, (short) (at(number) + DATA + from), to, offset, length);
    }

    void write(byte number, byte[] from, short offset, short length) {
        writePart(number, (short) 0, from, offset, length);
        writeLength(number, length);
    }

    void writePart(byte number, short at, byte[] from, short offset, short length) {
        store.copy(from, offset, all, (short) (at(number) + DATA + at), length);
    }

    void writeLength(byte number, short length) {
        store.writeShort(all, at(number), length);
    }

    void hash(byte number, short length, Ec ec, byte[] to, short offset) {
        ec.sha256.doFinal(all, (short) (at(number) + DATA), length, to, offset);
    }

    /** Called when this copy has gone out of force and none has replaced it: zeroes all copies. */
    void forget(byte number) {
        zero();
    }

    final void zero() {
        store.zero(all);
    }

    protected final void zero(byte number) {
        store.zero(all, at(number), (short) (capacity + DATA));
    }
}
