package rollcall.terminal;

import java.io.ByteArrayOutputStream;
import java.util.HexFormat;

/** Helpers for byte strings: hex, concatenation, TLV. */
public final class Bytes {

    private Bytes() {
    }

    public static byte[] hex(String digits) {
        return HexFormat.of().parseHex(digits.replace(" ", ""));
    }

    public static String hex(byte[] bytes) {
        return HexFormat.of().withUpperCase().formatHex(bytes);
    }

    public static byte[] cat(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }

    public static byte[] of(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }

    public static byte[] part(byte[] bytes, int from, int length) {
        return java.util.Arrays.copyOfRange(bytes, from, from + length);
    }

    public static byte[] length(int n) {
        if (n < 0x80) {
            return of(n);
        }
        return n < 0x100 ? of(0x81, n) : of(0x82, n >> 8, n);
    }

    /** A TLV whose tag is given in hex. */
    public static byte[] tlv(String tag, byte[]... contents) {
        byte[] value = cat(contents);
        return cat(hex(tag), length(value.length), value);
    }

    public static byte[] be(long value, int bytes) {
        byte[] out = new byte[bytes];
        long left = value;
        for (int i = bytes - 1; i >= 0; i--) {
            out[i] = (byte) left;
            left >>>= 8;
        }
        return out;
    }
}
