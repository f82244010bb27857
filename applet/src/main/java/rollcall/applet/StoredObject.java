package rollcall.applet;

/** A data object kept in copies. Its state byte names the copy in force, 0 when the object is absent. */
final class StoredObject {

    final short tag;
    private final Persistent store;
    private final byte index;
    private final Copies copies;

    StoredObject(Persistent store, short tag, byte index, Copies copies) {
        this.store = store;
        this.tag = tag;
        this.index = index;
        this.copies = copies;
    }

    short capacity() {
        return copies.capacity;
    }

    private byte inForce() {
        return store.get(index);
    }

    boolean isPresent() {
        return inForce() != 0;
    }

    short length() {
        return copies.length(inForce());
    }

    short read(short from, byte[] to, short offset, short length) {
        return copies.read(inForce(), from, to, offset, length);
    }

    /** Reads all of it and returns the offset after it. */
    short readAll(byte[] to, short offset) {
        return read((short) 0, to, offset, length());
    }

    void hash(Ec ec, byte[] to, short offset) {
        copies.hash(inForce(), length(), ec, to, offset);
    }

    /** Replaces the object atomically: the byte that puts the new one in force is written last. */
    void put(byte[] from, short offset, short length) {
        byte free = free();
        copies.write(free, from, offset, length);
        store.set(index, free);
    }

    void stage(short at, byte[] from, short offset, short length) {
        copies.writePart(free(), at, from, offset, length);
    }

    void hashStaged(short length, Ec ec, byte[] to, short offset) {
        copies.hash(free(), length, ec, to, offset);
    }

    /** Puts the staged copy in force; length 0 makes the object absent. */
    void commit(short length) {
        byte staged = free();
        copies.writeLength(staged, length);
        store.set(index, length == 0 ? 0 : staged);
    }

    void remove() {
        byte removed = inForce();
        store.set(index, (byte) 0);
        copies.forget(removed);
    }

    private byte free() {
        return copies.free(inForce());
    }
}
