package rollcall.learner;

import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import de.learnlib.sul.SUL;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import rollcall.terminal.Answer;
import rollcall.terminal.Bytes;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Resumption;
import rollcall.terminal.Scp03;
import rollcall.terminal.Scp11a;

/**
  * Sends the symbols of the alphabet to a card, and abstracts its answers to a status word and the kind of data. Agreed
  * keys are used until new ones are agreed; a token that has forgotten them rejects.
 */
final class Terminal implements SUL<Symbol, String> {

    private static final byte[] NO_MAC = new byte[8];
    private static final int MUTUAL_AUTHENTICATE = 0x82;
    private static final int TID = 8;

    private final Image image;
    private final Card card;
    private final Card twin;
    private final Line line;
    private final Enrollment token;
    private final Scp11a[] terminals = new Scp11a[4];
    private final Scp11a expired;
    private final byte[] ofToken;
    private final byte[] forged;
    /** The terminal whose certificate was sent last; its key is used to agree. */
    private Scp11a current;
    private Channel channel;
    private Channel pending;
    private byte[] pendingKeys;
    /** Uses the key of the last slot filled, even if it has been cleared since; before that, a key that no card has. */
    private Resumption held;
    private final Resumption guessed;
    private final Resumption stranger;
    private byte[] selected;
    private boolean isBlocked;
    private boolean hasSlots;
    private boolean isProved;
    /** Whether the channel is from a RESUME whose cryptogram did not match, so that none of its C-MACs is valid. */
    private boolean isGuess;
    private final List<Symbol> said = new ArrayList<>();
    long symbols;
    long compared;

    Terminal(Image image, Image.Made made, Image.Made twin) {
        this.image = image;
        card = made.card();
        this.twin = twin == null ? null : twin.card();
        token = made.token();
        line = new Line(this::transmit);
        line.dialect = Line.Dialect.SHORT_CHAINING;
        for (int role = Certificates.READ; role <= Certificates.ADMIN; role++) {
            terminals[role] = new Scp11a(line, token.ca, role);
        }
        expired = new Scp11a(line, token.ca, Certificates.ADMIN);
        Certificates old = new Certificates(token.ca, Crypto.point(expired.key), Certificates.ADMIN);
        old.notBefore = "251201000000Z";
        old.notAfter = "251231000000Z";
        expired.certificate = old.der();
        byte[] point = Crypto.point(terminals[Certificates.READ].key);
        ofToken = new Certificates(token.ca, point, Certificates.TOKEN).der();
        guessed = guess(terminals[Certificates.READ].tid());
        stranger = guess(Crypto.random(TID));
        forged = terminals[Certificates.ADMIN].certificate.clone();
        forged[forged.length - 1] ^= 1;
    }

    private Resumption guess(byte[] tid) {
        Resumption guess = new Resumption(terminals[Certificates.READ]);
        guess.tid = tid;
        guess.key = Crypto.random(16);
        return guess;
    }

    /** Until the first valid C-MAC of a word, both twins must give the same answer, except for random bytes. */
    private byte[] transmit(byte[] apdu) {
        byte[] answer = card.transmit(apdu);
        if (twin != null && !isProved) {
            byte[] other = twin.transmit(apdu);
            boolean isAgreement = (apdu[1] & 0xFF) == MUTUAL_AUTHENTICATE && answer.length == 88;
            boolean isResumption = (apdu[1] & 0xFF) == Resumption.RESUME && answer.length == 26;
            if (isResumption ? other.length != answer.length || Arrays.equals(answer, other) : isAgreement ? !sameButRandom(answer, other) : !Arrays.equals(answer, other)) {
                throw new IllegalStateException("two tokens of a set differ after " + said + ": " + Bytes.hex(apdu) + " -> "
                    + Bytes.hex(answer) + " and " + Bytes.hex(other));
            }
            compared++;
        }
        return answer;
    }

    /** `5F49 41 04 x y`, `86 10 receipt`, 9000: point and receipt are random, tags and lengths are not. */
    private static boolean sameButRandom(byte[] one, byte[] other) {
        return one.length == other.length && Arrays.equals(part(one, 0, 4), part(other, 0, 4))
            && Arrays.equals(part(one, 68, 2), part(other, 68, 2)) && Arrays.equals(part(one, 86, 2), part(other, 86, 2));
    }

    @Override
    public void pre() {
        card.restore(isBlocked, hasSlots);
        if (twin != null) {
            twin.restore(false, false);
        }
        isBlocked = false;
        hasSlots = false;
        isGuess = false;
        held = guessed;
        isProved = false;
        current = terminals[Certificates.READ];
        channel = null;
        pending = null;
        said.clear();
        select();
    }

    @Override
    public void post() {
        // pre() restores the image before the next word.
    }

    private String select() {
        Answer answer = line.send(0, 0xA4, 4, 0, Scp11a.AID);
        selected = answer.data();
        for (Scp11a terminal : new Scp11a[] {terminals[1], terminals[2], terminals[3], expired}) {
            terminal.selected = answer.data();
        }
        // The life cycle state, as shown.
        return told(answer, String.format("state %02X", answer.data().length > 22 ? answer.data()[22] : 0));
    }

    private static String told(Answer answer, String what) {
        String status = String.format("%04X", answer.status());
        if (!answer.isOk()) {
            return answer.data().length == 0 ? status : status + " with data";
        }
        return what.isEmpty() ? status : status + " " + what;
    }

    @Override
    public String step(Symbol symbol) {
        symbols++;
        said.add(symbol);
        return switch (symbol) {
            case SELECT -> select();
            case SELECT_OTHER -> told(line.send(0, 0xA4, 4, 0, hex("F0524F4C4C43414C4C02")), "");
            case GET_CERTIFICATE -> certificate(image.isPrivate ? 1 : 0x41);
            case GET_OWN_CERTIFICATE -> certificate(0x41);
            case GET_CA_LIST -> told(line.send(0, 0xCA, 0xFF, 0x33, new byte[0]), "list");
            case CERTIFICATE_READ -> certify(terminals[Certificates.READ]);
            case CERTIFICATE_WRITE -> certify(terminals[Certificates.WRITE]);
            case CERTIFICATE_ADMIN -> certify(terminals[Certificates.ADMIN]);
            case CERTIFICATE_EXPIRED -> certify(expired);
            case CERTIFICATE_OF_A_TOKEN -> told(line.send(0x80, 0x2A, 3, 0x10, ofToken), "");
            case CERTIFICATE_FORGED -> told(line.send(0x80, 0x2A, 3, 0x10, forged), "");
            case AGREE -> image.isPrivate ? agree(1, Crypto.point(token.set)) : agree(0x41, token.own);
            case AGREE_OWN -> agree(0x41, token.own);
            case AGREE_OTHER_PARAMETERS -> agreeBent(15, hex("A60D 90021101 950134 800188 810110"));
            case AGREE_OFF_CURVE -> agreeOffCurve();
            case HEARTBEAT -> secure("status", 0xCA, 1, 0);
            case READ_RECORD -> secure("record", 0xCA, 1, 1);
            case PROVE -> secure("proof", 0x88, 0, 1, new byte[32]);
            case PROVE_WITH_SLOT -> proveWithSlot();
            case RESUME -> resume(held);
            case RESUME_OTHER_TID -> resume(stranger);
            case RESUME_SHORT -> told(line.send(0x80, Resumption.RESUME, 0, 0, new byte[23]), "random");
            case PRESENCE -> secure("presence", 0x88, 2, 1);
            case PRESENCE_TWICE -> replay("presence", 0x88, 2, 1);
            case WRITE_RECORD -> secure("written", 0xDA, 1, 1, token.record);
            case PUT_CA_KEY -> secure("written", 0xD8, 0, 0x10, Enrollment.caKey(token.ca, 3));
            case BLOCK -> block(0x9F, true);
            case UNBLOCK -> block(0x1F, false);
            case WRONG_MAC -> told(line.send(0x84, 0xCA, 1, 0, NO_MAC), "");
            case HEARTBEAT_TWICE -> replay("status", 0xCA, 1, 0);
            case UNKNOWN_INS -> secure("", 0x20, 0, 0);
            case PLAIN_READ -> told(line.send(0, 0xCA, 1, 1, new byte[0]), "record");
            case PLAIN_WRITE -> told(line.send(0x80, 0xDA, 1, 1, token.record), "written");
            case ODD_CHAIN -> oddChain();
            case INITIALIZE_UPDATE -> initialize();
            case EXTERNAL_AUTHENTICATE -> externalAuthenticate(0);
            case EXTERNAL_WRONG -> externalAuthenticate(1);
            case GET_RESPONSE -> told(line.raw("00C0000000"), "more");
            case UNKNOWN_CLASS -> told(line.raw("20CA010000"), "");
        };
    }

    private String certificate(int kvn) {
        return told(line.send(0, 0xCA, 0xBF, 0x21, tlv("A6", tlv("83", of(0x11, kvn)))), "certificate");
    }

    private String certify(Scp11a terminal) {
        current = terminal;
        return told(terminal.pso(), "");
    }

    private String agree(int kvn, byte[] point) {
        java.security.KeyPair ephemeral = Crypto.newKeyPair();
        byte[] data = cat(Scp11a.PARAMETERS, tlv("5F49", Crypto.point(ephemeral)));
        Answer answer = line.send(0x80, MUTUAL_AUTHENTICATE, kvn, 0x11, data);
        if (!answer.isOk()) {
            return told(answer, "");
        }
        Channel agreed = current.derive(ephemeral, data, answer, point);
        if (agreed == null) {
            return told(answer, "another receipt");
        }
        channel = agreed;
        isGuess = false;
        return told(answer, "receipt");
    }

    private String agreeBent(int length, byte[] parameters) {
        byte[] point = tlv("5F49", Crypto.point(Crypto.newKeyPair()));
        return told(line.send(0x80, MUTUAL_AUTHENTICATE, kvn(), 0x11, cat(part(parameters, 0, length), point)), "receipt");
    }

    private String agreeOffCurve() {
        byte[] point = Crypto.point(Crypto.newKeyPair());
        point[64] ^= 1;
        return told(line.send(0x80, MUTUAL_AUTHENTICATE, kvn(), 0x11, cat(Scp11a.PARAMETERS, tlv("5F49", point))), "receipt");
    }

    private int kvn() {
        return image.isPrivate ? 1 : 0x41;
    }

    private String secure(String what, int ins, int p1, int p2, byte[]... data) {
        if (channel == null) {
            return told(line.send(0x84, ins, p1, p2, NO_MAC), "without keys");
        }
        isProved |= !isGuess;
        byte[] wrapped = channel.wrap(ins, p1, p2, cat(data));
        Answer answer = line.send(0x84, ins, p1, p2, wrapped);
        try {
            channel.unwrap(answer);
        } catch (IllegalStateException noMac) {
            return told(answer, noMac.getMessage());
        }
        return told(answer, what);
    }

    /** Sends a command, then the same APDU again. */
    private String replay(String what, int ins, int p1, int p2) {
        if (channel == null) {
            return secure(what, ins, p1, p2) + ", " + secure(what, ins, p1, p2);
        }
        isProved |= !isGuess;
        byte[] wrapped = channel.wrap(ins, p1, p2, new byte[0]);
        Answer first = line.send(0x84, ins, p1, p2, wrapped);
        return told(first, what) + ", " + told(line.send(0x84, ins, p1, p2, wrapped), what);
    }

    private String proveWithSlot() {
        String told = secure("proof", 0x88, 1, 1, new byte[32]);
        if (told.startsWith("9000")) {
            held = new Resumption(current);
            hasSlots = true;
        }
        return told;
    }

    /** Reports whether the cryptogram matches the key. The channel is used from here on either way. */
    private String resume(Resumption resumption) {
        resumption.selected = selected;
        Channel known = resumption.resume(line);
        if (!resumption.answer.isOk()) {
            return told(resumption.answer, "");
        }
        isGuess = known == null;
        channel = isGuess ? resumption.channel(line) : known;
        return told(resumption.answer, isGuess ? "random" : "known");
    }

    private String block(int state, boolean toBlocked) {
        String told = secure("written", 0xF0, 0x40, state);
        if (told.startsWith("9000")) {
            isBlocked = toBlocked;
        }
        return told;
    }

    /** Sends a piece of a chain, then another command; returns the status of both. */
    private String oddChain() {
        Answer piece = line.raw("94DA0101 02 A201");
        return told(piece, "") + ", " + told(line.raw("84CA0100 08 0000000000000000 00"), "");
    }

    private String initialize() {
        byte[] host = Crypto.random(8);
        Answer answer = line.send(0x80, 0x50, 0, 0, host);
        pending = null;
        if (answer.isOk()) {
            pendingKeys = token.tokenKeys;
            pending = Scp03.derive(line, pendingKeys, host, answer);
        }
        return told(answer, "challenge");
    }

    private String externalAuthenticate(int flip) {
        byte[] data = new byte[16];
        if (pending != null) {
            byte[] cryptogram = Scp03.hostCryptogram(pendingKeys);
            data = cat(cryptogram, pending.authenticate(0x82, 0x33, 0, cryptogram));
        }
        data[0] ^= (byte) flip;
        Answer answer = line.send(0x84, 0x82, 0x33, 0, data);
        if (answer.isOk()) {
            channel = pending;
            isGuess = false;
        }
        pending = null;
        return told(answer, "");
    }
}
