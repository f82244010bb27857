package rollcall.applet;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
  * INTERNAL AUTHENTICATE: returns the record and a signature binding the answer to this terminal and this channel. The
  * card encodes no CBOR: it fills the gaps of a fixed Sig_structure (RFC 9052, 4.4), which the other side rebuilds.
 *
 * Specification: docs/protocol.md, "Presence proof".
 */
final class Proof {

    private static final short NONCE = 32;

    // P1 P2: the proof, without and with a resumption slot for this terminal.
    private static final short PROOF = 0x0001;
    private static final short WITH_SLOT = 0x0101;

    /** Sig_structure up to the thumbprint: ["Signature1", protected {alg: ES256, typ}, h'', payload { 8: {5: ... */
    private static final byte[] BEFORE_THUMBPRINT = {
        (byte) 0x84, 0x6A, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1',
        0x58, 0x1E, (byte) 0xA2, 0x01, 0x26, 0x10, 0x78, 0x18,
        'a', 'p', 'p', 'l', 'i', 'c', 'a', 't', 'i', 'o', 'n', '/', 'x', '.',
        'r', 'o', 'l', 'l', 'c', 'a', 'l', 'l', '-', '1',
        0x40, 0x58, (byte) 0xB6, (byte) 0xA6, 0x08, (byte) 0xA1, 0x05, 0x58, 0x20
    };
    private static final byte[] BEFORE_NONCE = {0x0A, 0x58, 0x20};
    private static final byte[] BEFORE_TOKEN_ID = {0x19, 0x01, 0x00, 0x51, 0x01};
    private static final byte[] BEFORE_CHANNEL = {0x3A, 0x00, 0x01, 0x11, 0x70, 0x58, 0x20};
    private static final byte[] BEFORE_COUNTER = {0x3A, 0x00, 0x01, 0x11, 0x71, 0x1A};
    private static final byte[] BEFORE_RECORD = {0x3A, 0x00, 0x01, 0x11, 0x72, 0x58, 0x20};

    /** A COSE_Key with the required members only (RFC 9679, 3): {1: 2, -1: 1, -2: x, -3: y}. */
    private static final byte[] BEFORE_X = {(byte) 0xA4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20};
    private static final byte[] BEFORE_Y = {0x22, 0x58, 0x20};

    // Working space in the buffer: the answer, and, after the longest possible answer, the data to sign.
    private static final short SIGNED = 240;
    private static final short SIGNED_LENGTH = 229;
    private static final short COUNTER = 472;
    private static final short RECORD = 112;

    private final Transients ram;
    private final Keys keys;
    private final Records records;
    private final UseCounter counter;
    private final Ec ec;
    private final Slots slots;

    Proof(Transients ram, Keys keys, Records records, UseCounter counter, Ec ec, Slots slots) {
        this.ram = ram;
        this.keys = keys;
        this.records = records;
        this.counter = counter;
        this.ec = ec;
        this.slots = slots;
    }

    /**
     * INTERNAL AUTHENTICATE, ISO/IEC 7816-4, 11.5.2.
     *
      * PRE-CONDITION: a channel with a role on an ISSUED token; the dispatcher ensures this, except for SCP03. It
      * passes the first command of a resumed channel to {@link Resumption}.
     */
    short internalAuthenticate(short length) {
        if (ram.role() == Transients.PERSONALISATION) {
            ISOException.throwIt(Constants.SW_SECURITY_STATUS);
        }
        boolean withSlot = ram.tag() == WITH_SLOT;
        boolean presence = ram.tag() == Resumption.PRESENCE;
        Tlv.require(withSlot || presence || ram.tag() == PROOF);
        // Presence is only the first command of a resumed channel, and a resumed channel signs nothing.
        if (presence || ram.isResumed()) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
        if (length != NONCE) {
            ISOException.throwIt(Constants.SW_WRONG_LENGTH);
        }

        // EXECUTION STEPS
        // 1. Store the counter before signing, so that no value is ever signed twice.
        byte[] b = ram.buffer;
        counter.next(b, COUNTER);

        // 2. Fill the Sig_structure; the record is placed where the answer cannot overwrite it before it is hashed.
        putSigned();

        // 3. The answer: id, counter, signature, record.
        short end = put((short) 0, (byte) 0x83, Constants.TOKEN_ID);
        end = records.readTokenId(b, end);
        end = put(end, (byte) 0x80, (short) 4);
        end = Util.arrayCopyNonAtomic(b, COUNTER, b, end, (short) 4);
        short signature = (short) (end + 2);
        short signatureLength = ec.sign(keys.identity().inForce().scalar, b, SIGNED, SIGNED_LENGTH, signature);
        end = (short) (put(end, (byte) 0x9E, signatureLength) + signatureLength);
        end = put(end, (byte) 0x53, Constants.RECORD);
        end = records.readRecord(b, end);

        // 4. The slot last: it is of no use to a terminal that gets no answer.
        if (withSlot) {
            fillSlot();
        }
        return end;
    }

    /**
     * Builds `tid || K || 00 || notAfter` over the signed data; tid is the start of the hash of the terminal's point.
     */
    private void fillSlot() {
        byte[] b = ram.buffer;
        ec.sha256.doFinal(ram.session, Transients.TERMINAL_POINT, Constants.POINT, b, SIGNED);
        short end = (short) (SIGNED + Slots.TID);
        end = Util.arrayCopyNonAtomic(ram.session, Transients.RESUMPTION_KEY, b, end, Constants.KEY);
        b[end++] = 0;
        end = Util.arrayCopyNonAtomic(ram.session, Transients.NOT_AFTER, b, end, Constants.DATE);
        slots.fill(b, SIGNED);
        Util.arrayFillNonAtomic(b, SIGNED, (short) (end - SIGNED), (byte) 0);
    }

    private void putSigned() {
        byte[] b = ram.buffer;
        short nonce = (short) (SIGNED + BEFORE_THUMBPRINT.length + Constants.HASH + BEFORE_NONCE.length);
        Util.arrayCopyNonAtomic(b, (short) 0, b, nonce, NONCE);

        short end = literal(SIGNED, BEFORE_THUMBPRINT);
        ec.sha256.reset();
        ec.sha256.update(BEFORE_X, (short) 0, (short) BEFORE_X.length);
        ec.sha256.update(ram.session, (short) (Transients.TERMINAL_POINT + 1), (short) 32);
        ec.sha256.update(BEFORE_Y, (short) 0, (short) BEFORE_Y.length);
        end = (short) (end + ec.sha256.doFinal(
            ram.session, (short) (Transients.TERMINAL_POINT + 33), (short) 32, b, end));
        end = (short) (literal(end, BEFORE_NONCE) + NONCE);
        end = literal(end, BEFORE_TOKEN_ID);
        end = records.readTokenId(b, end);
        end = literal(end, BEFORE_CHANNEL);
        end = Util.arrayCopyNonAtomic(ram.session, Transients.BINDING, b, end, Constants.HASH);
        end = literal(end, BEFORE_COUNTER);
        end = Util.arrayCopyNonAtomic(b, COUNTER, b, end, (short) 4);
        end = literal(end, BEFORE_RECORD);
        records.readRecord(b, RECORD);
        ec.sha256.doFinal(b, RECORD, Constants.RECORD, b, end);
    }

    private short literal(short end, byte[] bytes) {
        return Util.arrayCopyNonAtomic(bytes, (short) 0, ram.buffer, end, (short) bytes.length);
    }

    private short put(short end, byte tag, short length) {
        ram.buffer[end++] = tag;
        ram.buffer[end++] = (byte) length;
        return end;
    }
}
