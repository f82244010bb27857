package rollcall.applet;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.ECPublicKey;

/**
  * Parses and verifies X.509 certificates (RFC 5280) of one fixed profile, in the buffer. The outer lengths are checked
  * first; the signed part of a terminal's certificate is parsed only after its signature has been verified. Every
  * rejection is 6A80.
 *
 * Specification: docs/protocol.md, "Certificates".
 */
final class Certificate {

    private static final byte INTEGER = 0x02;
    private static final byte BIT_STRING = 0x03;
    private static final byte OCTET_STRING = 0x04;
    private static final byte SEQUENCE = 0x30;
    private static final byte EXTENSIONS_TAG = (byte) 0xA3;

    /** [0] { INTEGER 2 }: version 3. */
    private static final byte[] VERSION_3 = {(byte) 0xA0, 0x03, 0x02, 0x01, 0x02};
    private static final byte[] ECDSA_WITH_SHA256 = {
        0x30, 0x0A, 0x06, 0x08, 0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x04, 0x03, 0x02
    };
    /** SubjectPublicKeyInfo of a P-256 key, up to its point. */
    private static final byte[] P256_KEY = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x02, 0x01,
        0x06, 0x08, 0x2A, (byte) 0x86, 0x48, (byte) 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00
    };
    private static final byte[] UTC_TIME = {0x17, 0x0D};
    private static final byte[] CRITICAL = {0x01, 0x01, (byte) 0xFF};
    /** id-ce, 2.5.29, without its last arc. */
    private static final byte[] EXTENSION_OID = {0x06, 0x03, 0x55, 0x1D};
    private static final byte KEY_USAGE = 0x0F;
    private static final byte AUTHORITY_KEY_IDENTIFIER = 0x23;
    private static final byte EXTENDED_KEY_USAGE = 0x25;
    /** keyAgreement and nothing else. */
    private static final byte[] KEY_AGREEMENT = {0x03, 0x02, 0x03, 0x08};
    private static final byte[] KEY_IDENTIFIER = {0x30, 0x16, (byte) 0x80, 0x14};
    /** One OID, a class under 1.3.6.1.4.1.32473.82, without its last arc. */
    private static final byte[] CLASS = {
        0x30, 0x0C, 0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, (byte) 0x81, (byte) 0xFD, 0x59, 0x52
    };

    private static final byte SEEN_KEY_USAGE = 1;
    private static final byte SEEN_AUTHORITY = 2;
    private static final byte SEEN_CLASS = 4;
    private static final byte SEEN_ALL = 7;

    // Indices in `at`: offsets into the buffer, found while parsing.
    private static final short SIGNED = 0;
    private static final short SIGNED_END = 1;
    private static final short SIGNATURE = 2;
    private static final short END = 3;
    private static final short TIMES = 4;
    private static final short KEY = 5;
    private static final short EXTENSIONS = 6;
    private static final short OFFSETS = 7;

    private final byte[] buffer;
    private final Ec ec;
    private final short[] at;

    Certificate(Transients ram, Ec ec) {
        buffer = ram.buffer;
        this.ec = ec;
        at = JCSystem.makeTransientShortArray(OFFSETS, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Offset of the certified key's point. */
    short point() {
        return at[KEY];
    }

    /** Offset of notBefore, 12 digits; notAfter is {@link #NEXT_TIME} bytes further on. */
    short notBefore() {
        return (short) (at[TIMES] + UTC_TIME.length);
    }

    short notAfter() {
        return (short) (notBefore() + NEXT_TIME);
    }

    private static final short NEXT_TIME = 15;

    /** Checks form and key of a certificate for one of the token's own keys. Whoever stores it vouches for the rest. */
    void requireKey(short offset, short length, EcKey key) {
        bound(offset, length);
        walk();
        Tlv.require(key.holds(buffer, at[KEY]));
    }

    /** Verifies a terminal's certificate and returns the role it grants, 1 to 3. */
    byte verifyTerminal(short length, ECPublicKey ca) {
        Tlv.require(length <= Constants.TERMINAL_CERTIFICATE);
        bound((short) 0, length);
        Tlv.require(ec.verify(ca, buffer, at[SIGNED], (short) (at[SIGNED_END] - at[SIGNED]),
            at[SIGNATURE], (short) (at[END] - at[SIGNATURE])));
        walk();
        ec.caId(ca, buffer, length, buffer, length);
        return terminalRole(length);
    }

    /** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }, and nothing after it. */
    private void bound(short offset, short length) {
        short end = (short) (offset + length);
        Tlv.require(Tlv.skip(buffer, offset, end, SEQUENCE) == end);
        at[END] = end;
        at[SIGNED] = Tlv.enter(buffer, offset, end, SEQUENCE);
        at[SIGNED_END] = Tlv.skip(buffer, at[SIGNED], end, SEQUENCE);
        short signature = Tlv.literal(buffer, at[SIGNED_END], end, ECDSA_WITH_SHA256);
        Tlv.require(Tlv.skip(buffer, signature, end, BIT_STRING) == end);
        signature = Tlv.enter(buffer, signature, end, BIT_STRING);
        // X.690, 8.6.2.2: no unused bits, so the first byte is 0; a signature follows.
        Tlv.require((short) (signature + 1) < end && buffer[signature] == 0);
        at[SIGNATURE] = (short) (signature + 1);
    }

    private void walk() {
        short end = at[SIGNED_END];
        short p = Tlv.enter(buffer, at[SIGNED], end, SEQUENCE);
        p = Tlv.literal(buffer, p, end, VERSION_3);
        p = Tlv.skip(buffer, p, end, INTEGER);
        p = Tlv.literal(buffer, p, end, ECDSA_WITH_SHA256);
        p = Tlv.skip(buffer, p, end, SEQUENCE);
        p = walkValidity(p, end);
        p = Tlv.skip(buffer, p, end, SEQUENCE);
        p = Tlv.literal(buffer, p, end, P256_KEY);
        Tlv.require(Constants.POINT <= (short) (end - p));
        at[KEY] = p;
        p = (short) (p + Constants.POINT);
        Tlv.require(Tlv.skip(buffer, p, end, EXTENSIONS_TAG) == end);
        p = Tlv.enter(buffer, p, end, EXTENSIONS_TAG);
        Tlv.require(Tlv.skip(buffer, p, end, SEQUENCE) == end);
        at[EXTENSIONS] = Tlv.enter(buffer, p, end, SEQUENCE);
    }

    private short walkValidity(short offset, short end) {
        short next = Tlv.skip(buffer, offset, end, SEQUENCE);
        at[TIMES] = Tlv.enter(buffer, offset, end, SEQUENCE);
        short behind = walkTime(walkTime(at[TIMES], next), next);
        Tlv.require(behind == next);
        return next;
    }

    /**
     * UTCTime YYMMDDhhmmssZ (RFC 5280, 4.1.2.5.1). Dates are compared as digits, so years not 20YY (from 80) are
     * rejected.
     */
    private short walkTime(short offset, short end) {
        short digits = Tlv.literal(buffer, offset, end, UTC_TIME);
        Tlv.require(NEXT_TIME <= (short) (end - offset)
            && Dates.areDigits(buffer, digits)
            && buffer[digits] < '8'
            && buffer[(short) (digits + Constants.DATE)] == 'Z');
        return (short) (offset + NEXT_TIME);
    }

    /** Requires each of the three extensions exactly once, and no unknown critical extension. */
    private byte terminalRole(short caId) {
        byte seen = 0;
        byte role = 0;
        short end = at[SIGNED_END];
        for (short p = at[EXTENSIONS]; p < end; p = Tlv.skip(buffer, p, end, SEQUENCE)) {
            short extensionEnd = Tlv.skip(buffer, p, end, SEQUENCE);
            short oid = Tlv.enter(buffer, p, end, SEQUENCE);
            short value = Tlv.skip(buffer, oid, extensionEnd, (byte) 0x06);
            boolean critical = buffer[value] == CRITICAL[0];
            if (critical) {
                value = Tlv.literal(buffer, value, extensionEnd, CRITICAL);
            }
            Tlv.require(Tlv.skip(buffer, value, extensionEnd, OCTET_STRING) == extensionEnd);
            value = Tlv.enter(buffer, value, extensionEnd, OCTET_STRING);
            byte known = known(oid);
            Tlv.require((seen & known) == 0 && critical == (known == SEEN_KEY_USAGE));
            seen |= known;
            if (known == SEEN_KEY_USAGE) {
                Tlv.require(Tlv.literal(buffer, value, extensionEnd, KEY_AGREEMENT) == extensionEnd);
            } else if (known == SEEN_AUTHORITY) {
                requireAuthority(value, extensionEnd, caId);
            } else if (known == SEEN_CLASS) {
                role = role(value, extensionEnd);
            }
        }
        Tlv.require(seen == SEEN_ALL);
        return role;
    }

    private byte known(short oid) {
        if (Util.arrayCompare(buffer, oid, EXTENSION_OID, (short) 0, (short) EXTENSION_OID.length) != 0) {
            return 0;
        }
        switch (buffer[(short) (oid + EXTENSION_OID.length)]) {
            case KEY_USAGE:
                return SEEN_KEY_USAGE;
            case AUTHORITY_KEY_IDENTIFIER:
                return SEEN_AUTHORITY;
            case EXTENDED_KEY_USAGE:
                return SEEN_CLASS;
            default:
                return 0;
        }
    }

    private void requireAuthority(short value, short end, short caId) {
        short id = Tlv.literal(buffer, value, end, KEY_IDENTIFIER);
        Tlv.require((short) (end - id) == Constants.CA_ID
            && Util.arrayCompare(buffer, id, buffer, caId, Constants.CA_ID) == 0);
    }

    private byte role(short value, short end) {
        short last = Tlv.literal(buffer, value, end, CLASS);
        Tlv.require((short) (end - last) == 1
            && buffer[last] >= Transients.READ && buffer[last] <= Transients.ADMIN);
        return buffer[last];
    }
}
