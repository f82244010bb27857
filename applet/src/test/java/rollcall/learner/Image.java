package rollcall.learner;

import static rollcall.terminal.Bytes.hex;

import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import rollcall.terminal.Answer;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** The states of a card from which words can start; each is learned as one machine. */
enum Image {
    ISSUED_OPEN(false),
    ISSUED_PRIVATE(true),
    PERSONALISED(false);

    final boolean isPrivate;

    Image(boolean isPrivate) {
        this.isPrivate = isPrivate;
    }

    String fileName() {
        return name().toLowerCase(java.util.Locale.ROOT).replace('_', '-') + ".dot";
    }

    /** A saved card of this image, and its enrollment. */
    record Made(Card card, Enrollment token) { }

    Made make(Function<byte[], Card> blank) {
        byte[] startKeys = Crypto.random(48);
        Card card = blank.apply(startKeys);
        Enrollment token = enroll(card, startKeys, null);
        finish(card, token);
        return new Made(card, token);
    }

    private Enrollment enroll(Card card, byte[] startKeys, Enrollment sibling) {
        Line line = new Line(card::transmit);
        line.dialect = Line.Dialect.SHORT_CHAINING;
        Enrollment token = new Enrollment(line, startKeys);
        token.isPrivate = isPrivate;
        if (sibling != null) {
            token.ca = sibling.ca;
            token.set = sibling.set;
            token.setCertificate = sibling.setCertificate;
            token.record = hex("A20163393939026A4772616365204D2E2048");
        }
        token.open(startKeys);
        List<Runnable> steps = token.steps();
        int last = this == PERSONALISED ? steps.size() - 1 : steps.size();
        steps.subList(0, last).forEach(Runnable::run);
        return token;
    }

    private void finish(Card card, Enrollment token) {
        if (card instanceof AppletCard applet) {
            // One key and one certificate for all words: making new ones takes longer than the handshake.
            Scp11a administrator = token.terminal(Certificates.ADMIN);
            applet.unblock = none ->
                Enrollment.ok("unblock", administrator.open(0x41, token.own).send(0xF0, 0x40, 0x1F));
            applet.clearSlots = none -> Enrollment.ok("clear",
                administrator.open(0x41, token.own).send(0xD8, 0, 0x10, Enrollment.caKey(token.ca, 3)));
        }
        card.save();
    }

    /**
     * Another token of the same set that differs in everything that must stay hidden: id, record, counter, date and
     * state.
     */
    Made twin(Made made, Function<byte[], Card> blank) {
        byte[] startKeys = Crypto.random(48);
        Card card = blank.apply(startKeys);
        Enrollment twin = enroll(card, startKeys, made.token());
        Scp11a administrator = twin.terminal(Certificates.ADMIN);
        Certificates later = new Certificates(twin.ca, Crypto.point(administrator.key), Certificates.ADMIN);
        later.notBefore = "260301000000Z";
        later.notAfter = "300301000000Z";
        administrator.certificate = later.der();
        Channel channel = administrator.open(0x41, twin.own);
        for (int i = 0; i < 3; i++) {
            Answer proof = channel.send(0x88, 0, 1, new byte[32]);
            Enrollment.ok("a proof", proof);
        }
        Enrollment.ok("block", channel.send(0xF0, 0x40, 0x9F));
        if (Arrays.equals(twin.tokenId, made.token().tokenId)) {
            throw new IllegalStateException("one token is not two");
        }
        card.save();
        return new Made(card, twin);
    }
}
