package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** Parses DER lengths (X.690, 8.1.3 and 10.1) strictly: shortest form only, never past the end. Rejections are 6A80. */
final class Tlv {

    private Tlv() {
    }

    static void require(boolean condition) {
        if (!condition) {
            ISOException.throwIt(Constants.SW_WRONG_DATA);
        }
    }

    /** Requires exactly these bytes and returns the offset after them. */
    static short literal(byte[] b, short offset, short end, byte[] expected) {
        short length = (short) expected.length;
        require(length <= (short) (end - offset)
            && Util.arrayCompare(b, offset, expected, (short) 0, length) == 0);
        return (short) (offset + length);
    }

    /** The offset of the contents of the element at {@code offset}, which must have this one-byte tag. */
    static short enter(byte[] b, short offset, short end, byte tag) {
        require(offset < end && b[offset] == tag);
        return contents(b, (short) (offset + 1), end);
    }

    /** The offset after the element at {@code offset}, which must have this one-byte tag. */
    static short skip(byte[] b, short offset, short end, byte tag) {
        short contents = enter(b, offset, end, tag);
        return (short) (contents + length(b, (short) (offset + 1)));
    }

    /** The offset of the contents whose length field is at {@code offset}. */
    static short contents(byte[] b, short offset, short end) {
        short size = sizeOfLength(b, offset, end);
        short length = length(b, offset);
        boolean shortest = size == 1 || (size == 2 ? length >= 0x80 : length >= 0x100);
        require(shortest && length <= (short) (end - offset - size));
        return (short) (offset + size);
    }

    private static short sizeOfLength(byte[] b, short offset, short end) {
        if (offset < end) {
            short size = b[offset] >= 0 ? (short) 1 : (short) ((b[offset] & 0x7F) + 1);
            if (size <= 3 && b[offset] != (byte) 0x80 && size <= (short) (end - offset)) {
                return size;
            }
        }
        ISOException.throwIt(Constants.SW_WRONG_DATA);
        return 0;
    }

    /** The length in the field at {@code offset}, which {@link #contents} must have checked; negative if above 7FFF. */
    static short length(byte[] b, short offset) {
        if (b[offset] >= 0) {
            return b[offset];
        }
        return b[offset] == (byte) 0x81 ? (short) (b[(short) (offset + 1)] & 0xFF) : Util.getShort(b, (short) (offset + 1));
    }

    /** Writes a length field and returns the offset after it. */
    static short putLength(byte[] b, short offset, short length) {
        if (length >= 0x100) {
            b[offset++] = (byte) 0x82;
            b[offset++] = (byte) (length >> 8);
        } else if (length >= 0x80) {
            b[offset++] = (byte) 0x81;
        }
        b[offset++] = (byte) length;
        return offset;
    }
}
