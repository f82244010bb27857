package rollcall.applet;

/** A data object in two copies. Its byte of the state names the one in force, 0 when the object is absent. */
final class StoredObject extends Copies {

    final short tag;
    private final byte index;

    StoredObject(Persistent store, short tag, byte index, short capacity) {
        super(store, capacity);
        this.tag = tag;
        this.index = index;
    }

    boolean isPresent() {
        return store.get(index) != 0;
    }

    short length() {
        return length(store.get(index));
    }

    short read(short from, byte[] to, short offset, short length) {
        return read(store.get(index), from, to, offset, length);
    }

    /** Reads all of it and returns the offset behind it. */
    short readAll(byte[] to, short offset) {
        return read((short) 0, to, offset, length());
    }

    void hash(Ec ec, byte[] to, short offset) {
        hash(store.get(index), length(), ec, to, offset);
    }

    /** The old object or the new one and nothing between: the byte that puts the new one in force is written last. */
    void put(byte[] from, short offset, short length) {
        write(inactive(), from, offset, length);
        store.set(index, inactive());
    }

    void stage(short at, byte[] from, short offset, short length) {
        writePart(inactive(), at, from, offset, length);
    }

    void hashStaged(short length, Ec ec, byte[] to, short offset) {
        hash(inactive(), length, ec, to, offset);
    }

    /** Puts what was staged in force; an empty object is an absent one. */
    void commit(short length) {
        byte staged = inactive();
        writeLength(staged, length);
        store.set(index, length == 0 ? 0 : staged);
    }

    void remove() {
        store.set(index, (byte) 0);
        zero();
    }

    private byte inactive() {
        return store.get(index) == 1 ? (byte) 2 : (byte) 1;
    }
}
