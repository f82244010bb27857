package rollcall.terminal;

import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.tlv;

import java.nio.charset.StandardCharsets;
import java.security.KeyPair;

/** Creates certificates of the profile and, with one part changed, certificates that violate it. */
public final class Certificates {

    public static final int READ = 1;
    public static final int WRITE = 2;
    public static final int ADMIN = 3;
    public static final int TOKEN = 8;
    public static final int SET = 9;
    public static final int IDENTITY = 10;

    public static final byte[] KEY_AGREEMENT = hex("03020308");
    public static final byte[] DIGITAL_SIGNATURE = hex("03020780");
    public static final byte[] CRITICAL = hex("0101FF");
    private static final byte[] ECDSA_SHA256 = hex("300A06082A8648CE3D040302");
    private static final byte[] P256 = hex("301306072A8648CE3D020106082A8648CE3D030107");

    public KeyPair ca;
    public byte[] point;
    public int role = READ;
    public String notBefore = "260101000000Z";
    public String notAfter = "260108000000Z";
    public byte[] keyUsage = KEY_AGREEMENT;
    public byte[] keyUsageCritical = CRITICAL;
    public byte[] extendedKeyUsage;
    public byte[] authority;
    public byte[] moreExtensions = new byte[0];
    public String subject = "terminal";
    public byte[] trailing = new byte[0];

    public Certificates(KeyPair ca, byte[] point, int role) {
        this.ca = ca;
        this.point = point;
        this.role = role;
        this.authority = Crypto.caId(ca);
        this.extendedKeyUsage = tlv("30", classOid(role));
        if (role == IDENTITY) {
            keyUsage = DIGITAL_SIGNATURE;
        }
    }

    public static byte[] classOid(int last) {
        return tlv("06", hex("2B0601040181FD5952"), of(last));
    }

    public static byte[] extension(String oid, byte[] critical, byte[] value) {
        return tlv("30", tlv("06", hex(oid)), critical, tlv("04", value));
    }

    public byte[] der() {
        byte[] tbs = tbs();
        byte[] signature = tlv("03", of(0), Crypto.sign(ca, tbs));
        return cat(tlv("30", tbs, ECDSA_SHA256, signature), trailing);
    }

    public byte[] tbs() {
        return tlv("30",
            hex("A003020102"),
            tlv("02", of(0x4D), Crypto.random(7)),
            ECDSA_SHA256,
            name("Rollcall CA"),
            tlv("30", time(notBefore), time(notAfter)),
            name(subject),
            tlv("30", P256, tlv("03", of(0), point)),
            tlv("A3", tlv("30", extensions())));
    }

    private byte[] extensions() {
        return cat(
            extension("551D0F", keyUsageCritical, keyUsage),
            extension("551D23", new byte[0], tlv("30", tlv("80", authority))),
            extension("551D25", new byte[0], extendedKeyUsage),
            moreExtensions);
    }

    private static byte[] name(String commonName) {
        return tlv("30", tlv("31", tlv("30",
            hex("0603550403"), tlv("0C", commonName.getBytes(StandardCharsets.UTF_8)))));
    }

    private static byte[] time(String utc) {
        return tlv("17", utc.getBytes(StandardCharsets.US_ASCII));
    }
}
