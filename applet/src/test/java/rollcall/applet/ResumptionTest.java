package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.applet.Cards.refused;
import static rollcall.terminal.Bytes.be;
import static rollcall.terminal.Bytes.cat;
import static rollcall.terminal.Bytes.hex;
import static rollcall.terminal.Bytes.of;
import static rollcall.terminal.Bytes.part;
import static rollcall.terminal.Bytes.tlv;

import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
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

/** Resumption: what a token gives to a terminal that holds its key, and what a stranger gets. */
class ResumptionTest {

    private static final int USES = 64;
    /** The counter value in the only proof made so far. */
    private static final int FIRST_USE = 0x10000;

    private final byte[] startKeys = Crypto.random(48);
    private final WatchedCard card = new WatchedCard(startKeys);
    private final Line line = new Line(card::transmit);
    private final Enrollment token = new Enrollment(line, startKeys);

    private void issue(boolean isPrivate) {
        token.isPrivate = isPrivate;
        token.run();
    }

    /** A full tap, after which the token has a slot for this terminal. */
    private Scp11a tap(int role) {
        Scp11a terminal = token.terminal(role);
        Channel channel = token.isPrivate
            ? terminal.open(1, Crypto.point(token.set)) : terminal.open(0x41, token.own);
        Enrollment.ok("slot", channel.send(0x88, 1, 1, new byte[32]));
        return terminal;
    }

    /** Fills a slot for this terminal, under the token's own key. */
    private Channel fill(Scp11a terminal) {
        Channel channel = terminal.open(0x41, token.own);
        Enrollment.ok("slot", channel.send(0x88, 1, 1, new byte[32]));
        return channel;
    }

    private Resumption issued() {
        issue(false);
        return new Resumption(tap(Certificates.READ));
    }

    private byte[] presence(int left) {
        return cat(tlv("83", token.tokenId), tlv("80", be(FIRST_USE, 4)), tlv("88", of(left)),
            tlv("53", Arrays.copyOf(token.record, 120)));
    }

    private static void isOver(Channel channel) {
        refused(0x6982, channel.send(0xCA, 1, 0));
    }

    private void resumesNoMore(Resumption resumption) {
        assertNull(resumption.open(line));
        assertTrue(resumption.answer.isOk());
        refused(0x6982, resumption.channel(line).send(0x88, 2, 1));
    }

    @ParameterizedTest
    @CsvSource({
        "EXTENDED, 240, true, 0x84, false", "EXTENDED, 240, false, 0x04, true",
        "SHORT_CHAINING, 240, true, 0x84, true", "SHORT_CHAINING, 0, false, 0x04, false",
        "SMALL_PIECES, 7, true, 0x04, false",
    })
    void presenceThenReading(Line.Dialect dialect, int le, boolean emptyBlock, String cla, boolean isPrivate) {
        line.dialect = dialect;
        line.le = le;
        issue(isPrivate);
        Resumption resumption = new Resumption(tap(Certificates.ADMIN));
        for (int left = USES - 1; left > USES - 4; left--) {
            card.countFromZero();
            Channel channel = resumption.open(line);
            assertNotNull(channel);
            assertEquals(0, card.writes());
            channel.cla = Integer.decode(cla);
            channel.emptyBlock = emptyBlock;
            assertArrayEquals(presence(left), channel.send(0x88, 2, 1).data());
            assertEquals(1, card.writes());
            assertArrayEquals(hex("1F"), channel.send(0xCA, 1, 0).data());
            assertArrayEquals(token.record, channel.send(0xCA, 1, 1).data());
            assertArrayEquals(token.identityCertificate, channel.send(0xCA, 0x7F, 0x21).data());
            assertEquals(1, card.writes());
        }
    }

    @Test
    void threeExchangesOfWhichTwoAreOne() {
        Resumption resumption = issued();
        line.dialect = Line.Dialect.SHORT_CHAINING;
        line.exchanges = 0;
        Channel channel = resumption.open(line);
        byte[] wrapped = channel.wrap(0x88, 2, 1, of());
        assertEquals(168, line.send(0x84, 0x88, 2, 1, wrapped).data().length);
        assertEquals(3, line.exchanges);
    }

    /** The role is READ, whatever the certificate grants; the public tags stay readable, and nothing is signed. */
    @Test
    void resumedChannelReadsOnly() {
        issue(false);
        Resumption resumption = new Resumption(tap(Certificates.ADMIN));
        Channel channel = resumption.open(line);
        assertArrayEquals(presence(63), channel.send(0x88, 2, 1).data());
        card.countFromZero();
        for (int p1 : new int[] {0, 1, 2}) {
            refused(0x6985, channel.send(0x88, p1, 1, new byte[p1 == 2 ? 0 : 32]));
            refused(0x6985, channel.send(0x88, p1, 1, of(1)));
        }
        refused(0x6A80, channel.send(0x88, 0, 2, new byte[32]));
        refused(0x6A88, channel.send(0xB1, 1, 2, hex("54020000")));
        for (int ins : new int[] {0xD7, 0xDA, 0xD8, 0xF1, 0xE2, 0xE4, 0xF0}) {
            refused(0x6982, channel.send(ins, 1, 1, of(1)));
        }
        refused(0x6D00, channel.send(0x01, 0, 0));
        assertTrue(channel.send(0xCA, 0xBF, 0x21, hex("A60483021141")).isOk());
        assertTrue(channel.send(0xCA, 0x00, 0x83, tlv("A6", tlv("42", Crypto.caId(token.ca)))).isOk());
        assertTrue(channel.send(0xCA, 0xFF, 0x33).isOk());
        assertEquals(0, card.writes());
        // Neither the counter nor the date has moved.
        Answer proof = token.openOwn(Certificates.READ).send(0x88, 0, 1, new byte[32]);
        assertArrayEquals(be(FIRST_USE + 1, 4), part(proof.data(), 20, 4));
    }

    @Test
    void sixtyFourUsesAndNotOneMore() {
        Resumption resumption = issued();
        for (int left = USES - 1; left >= 0; left--) {
            assertArrayEquals(presence(left), resumption.open(line).send(0x88, 2, 1).data());
        }
        resumesNoMore(resumption);
    }

    @Test
    void withoutKNothingIsGood() {
        Resumption resumption = issued();
        for (int bit = 0; bit < 128; bit += 5) {
            Resumption guess = new Resumption(token.terminal(Certificates.READ));
            guess.tid = resumption.tid;
            guess.key = resumption.key.clone();
            guess.key[bit / 8] ^= 1 << bit % 8;
            card.countFromZero();
            resumesNoMore(guess);
            assertEquals(0, card.writes());
        }
        assertArrayEquals(presence(63), resumption.open(line).send(0x88, 2, 1).data());
    }

    /** A C-MAC under the decoy key is rejected even when it is correct. */
    @Test
    void decoyGivesNoChannel() {
        Resumption resumption = issued();
        resumption.tid = Crypto.random(8);
        resumption.key = new byte[16];
        card.slots().readKey(card.slots().find(resumption.tid, (short) 0), resumption.key, (short) 0);
        Channel channel = resumption.open(line);
        assertNotNull(channel, "the decoy answers as a slot does");
        refused(0x6982, channel.send(0x88, 2, 1));
        refused(0x6982, channel.send(0x88, 2, 1));
        channel = resumption.open(line);
        refused(0x6D00, channel.send(0x01, 2, 1));
        isOver(channel);
    }

    /**
     * However often a stranger tries: with or without a slot, blocked or not, the form is the same and nothing is
     * written.
     */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void strangersSeeOneForm(boolean isPrivate) {
        issue(isPrivate);
        strangers(token.terminal(Certificates.READ).tid(), isPrivate);
        Scp11a administrator = token.terminal(Certificates.ADMIN);
        fill(administrator);
        strangers(administrator.tid(), isPrivate);
        Channel admin = fill(administrator);
        Enrollment.ok("block", admin.send(0xF0, 0x40, 0x9F));
        strangers(administrator.tid(), isPrivate);
    }

    private void strangers(byte[] known, boolean isPrivate) {
        byte[] selected = line.send(0, 0xA4, 4, 0, Scp11a.AID).data();
        assertEquals(isPrivate ? 46 : 54, selected.length);
        for (byte[] tid : new byte[][] {known, new byte[8], Crypto.random(8)}) {
            card.countFromZero();
            byte[] first = line.send(0x80, 0x86, 0, 0, cat(tid, new byte[16])).data();
            assertEquals(24, first.length);
            refused(0x6982, line.send(0x84, 0x88, 2, 1, part(first, 16, 8)));
            byte[] second = line.send(0x80, 0x86, 0, 0, cat(tid, new byte[16])).data();
            assertFalse(Arrays.equals(part(first, 0, 16), part(second, 0, 16)), "a nonce came twice");
            assertFalse(Arrays.equals(part(first, 16, 8), part(second, 16, 8)), "a cryptogram came twice");
            refused(0x6982, line.send(0x84, 0x88, 2, 1, cat(new byte[16], part(second, 16, 8))));
            assertEquals(0, card.writes());
        }
    }

    @Test
    void replaysAreRefused() {
        Resumption resumption = issued();
        Channel channel = resumption.open(line);
        byte[] presence = channel.wrap(0x88, 2, 1, of());
        byte[] old = resumption.answer.data();
        assertTrue(channel.unwrap(line.send(0x84, 0x88, 2, 1, presence)).isOk());
        // In the same channel, in a new one, and after replaying the same RESUME.
        refused(0x6982, line.send(0x84, 0x88, 2, 1, presence));
        assertNotNull(resumption.open(line));
        refused(0x6982, line.send(0x84, 0x88, 2, 1, presence));
        line.send(0, 0xA4, 4, 0, Scp11a.AID);
        byte[] again = line.send(0x80, 0x86, 0, 0, cat(resumption.tid, resumption.nonce)).data();
        assertFalse(Arrays.equals(old, again));
        refused(0x6982, line.send(0x84, 0x88, 2, 1, presence));
        // The card's own nonce and cryptogram, reflected.
        byte[] mine = line.send(0x80, 0x86, 0, 0, cat(resumption.tid, part(again, 0, 16))).data();
        refused(0x6982, line.send(0x84, 0x88, 2, 1, part(mine, 16, 8)));
        assertArrayEquals(presence(62), resumption.open(line).send(0x88, 2, 1).data());
    }

    /** The cryptogram covers the SELECT answer: a changed answer leads to no channel. */
    @Test
    void anotherSelectAnswerIsNoticed() {
        Resumption resumption = issued();
        resumption.selected = line.send(0, 0xA4, 4, 0, Scp11a.AID).data();
        for (int i = 0; i < resumption.selected.length; i++) {
            resumption.selected[i] ^= 1;
            assertNull(resumption.resume(line));
            refused(0x6982, resumption.channel(line).send(0x88, 2, 1));
            resumption.selected[i] ^= 1;
        }
        assertNotNull(resumption.resume(line));
    }

    @Test
    void slotOfOneTerminalServesNoOther() {
        Resumption one = issued();
        Resumption other = new Resumption(tap(Certificates.READ));
        assertNotEquals(Bytes.hex(one.key), Bytes.hex(other.key));
        byte[] tid = one.tid;
        one.tid = other.tid;
        resumesNoMore(one);
        one.tid = tid;
        assertNotNull(one.open(line));
        assertNotNull(other.open(line));
    }

    @Test
    void fullTapGivesANewKeyAndTheFormerOneEnds() {
        issue(false);
        Scp11a terminal = tap(Certificates.READ);
        Resumption former = new Resumption(terminal);
        fill(terminal);
        Resumption now = new Resumption(terminal);
        resumesNoMore(former);
        Channel channel = now.open(line);
        byte[] answer = channel.send(0x88, 2, 1).data();
        assertArrayEquals(of(63), part(answer, 26, 1));
    }

    @Test
    void nobodyResumesAfterBlockingOrAnotherKey() {
        Resumption resumption = issued();
        Channel admin = token.openOwn(Certificates.ADMIN);
        assertTrue(admin.send(0xF0, 0x40, 0x9F).isOk());
        resumesNoMore(resumption);
        assertTrue(token.openOwn(Certificates.ADMIN).send(0xF0, 0x40, 0x1F).isOk());
        resumesNoMore(resumption);
        Scp11a administrator = token.terminal(Certificates.ADMIN);
        token.channel = fill(administrator);
        token.putCaKey(Crypto.newKeyPair(), 4);
        resumesNoMore(new Resumption(administrator));
        token.channel = fill(administrator);
        Enrollment.ok("date", token.channel.send(0xDA, 1, 4, "260101000000".getBytes()));
        resumesNoMore(new Resumption(administrator));
        assertTrue(fill(administrator).send(0xF0, 0x40, 0x7F).isOk());
        assertNull(new Resumption(administrator).open(line));
        refused(0x6985, line.send(0x80, 0x86, 0, 0, new byte[24]));
    }

    /**
     * Expiry is by the card's own date, which follows other terminals' certificates; then the slot is gone for good.
     */
    @Test
    void endsWithTheCertificate() {
        issue(false);
        Scp11a terminal = dated("260101000000Z", "260108000000Z");
        fill(terminal);
        Resumption resumption = new Resumption(terminal);
        assertTrue(resumption.open(line).send(0x88, 2, 1).isOk());
        assertTrue(dated("260108000000Z", "260201000000Z").open(0x41, token.own).send(0xCA, 1, 0).isOk());
        assertTrue(resumption.open(line).send(0x88, 2, 1).isOk(), "on its last second");
        assertTrue(dated("260108000001Z", "260201000000Z").open(0x41, token.own).send(0xCA, 1, 0).isOk());
        card.countFromZero();
        Channel channel = resumption.open(line);
        refused(0x6985, channel.send(0xCA, 1, 0));
        assertEquals(0, card.writes());
        channel = resumption.open(line);
        refused(0x6985, channel.send(0x88, 2, 1));
        assertEquals(2, card.writes());
        isOver(channel);
        resumesNoMore(resumption);
    }

    private Scp11a dated(String from, String to) {
        Scp11a terminal = token.terminal(Certificates.READ);
        Certificates certificate = new Certificates(token.ca, Crypto.point(terminal.key), Certificates.READ);
        certificate.notBefore = from;
        certificate.notAfter = to;
        terminal.certificate = certificate.der();
        return terminal;
    }

    /** With a valid C-MAC, any first command but presence without data ends the session, and writes nothing. */
    @Test
    void nothingButPresenceMayComeFirst() {
        Resumption resumption = issued();
        first(resumption, 0x6D00, channel -> channel.send(0x01, 0, 0));
        first(resumption, 0x6E00, channel -> channel.send(0x86, 0, 0, new byte[24]));
        first(resumption, 0x6700, channel -> channel.send(0x88, 2, 1, of(1)));
        first(resumption, 0x6985, channel -> channel.send(0x88, 2, 2));
        first(resumption, 0x6985, channel -> channel.send(0x88, 0, 1, new byte[32]));
        first(resumption, 0x6985, channel -> channel.send(0x88, 1, 1, new byte[32]));
        for (int ins : new int[] {0xCA, 0xB1, 0xD7, 0xDA, 0xD8, 0xF1, 0xE2, 0xE4, 0xF0}) {
            first(resumption, 0x6985, channel -> channel.send(ins, 1, 0));
        }
        first(resumption, 0x6982, channel ->
            line.send(0x84, 0x88, 2, 1, channel.wrapPadded(0x88, 2, 1, new byte[16])));
        first(resumption, 0x6982, channel -> line.send(0x84, 0x88, 2, 1, new byte[8]));
        first(resumption, 0x6982, channel -> line.send(0, 0xCA, 0xFF, 0x33, of()));
        first(resumption, 0x6982, channel -> line.send(0x80, 0x86, 0, 0, new byte[24]));
        first(resumption, 0x6982, channel -> line.send(0x80, 0x82, 0x41, 0x11, new byte[16]));
        first(resumption, 0x6985, channel -> line.send(0x84, 0x82, 0x33, 0, new byte[16]));
        assertArrayEquals(presence(63), resumption.open(line).send(0x88, 2, 1).data());
    }

    private void first(Resumption resumption, int status, java.util.function.Function<Channel, Answer> command) {
        Channel channel = resumption.open(line);
        card.countFromZero();
        refused(status, command.apply(channel));
        isOver(channel);
        assertEquals(0, card.writes());
    }

    /** RESUME begins a session directly after SELECT only; each rejection ends the current session. */
    @Test
    void whereResumeMayStand() {
        Resumption resumption = issued();
        Scp11a terminal = token.terminal(Certificates.READ);
        terminal.select();
        terminal.pso();
        refused(0x6985, resume(resumption, 0, 24));
        refused(0x6985, line.send(0x80, 0x82, 0x41, 0x11, cat(Scp11a.PARAMETERS, tlv("5F49", token.own))));
        for (int calls = 0; calls < 2; calls++) {
            Channel channel = token.openOwn(Certificates.READ);
            if (calls > 0) {
                assertTrue(channel.send(0xCA, 1, 0).isOk());
            }
            refused(0x6982, resume(resumption, 0, 24));
            isOver(channel);
        }
        resumption.selected = line.send(0, 0xA4, 4, 0, Scp11a.AID).data();
        refused(0x6A80, resume(resumption, 1, 24));
        refused(0x6A80, resume(resumption, 1, 23));
        refused(0x6700, resume(resumption, 0, 23));
        refused(0x6700, resume(resumption, 0, 25));
        refused(0x6700, resume(resumption, 0, 0));
        for (int cla : new int[] {0x00, 0x04, 0x84}) {
            refused(0x6E00, line.send(cla, 0x86, 0, 0, new byte[24]));
        }
        assertNotNull(resumption.resume(line));
        refused(0x6982, resume(resumption, 0, 24));
        // A terminal whose RESUME matched no slot continues with its certificate at once.
        assertTrue(resume(resumption, 0, 24).isOk());
        assertTrue(terminal.pso().isOk());
        assertTrue(terminal.agree(0x41, token.own).send(0xCA, 1, 0).isOk());
    }

    private Answer resume(Resumption resumption, int p1, int length) {
        return line.send(0x80, 0x86, p1, 0, Arrays.copyOf(cat(resumption.tid, new byte[17]), length));
    }

    @Test
    void notBeforeIssuedNorUnderScp03() {
        line.send(0, 0xA4, 4, 0, Scp11a.AID);
        refused(0x6985, line.send(0x80, 0x86, 0, 0, new byte[24]));
        refused(0x6985, line.send(0x80, 0x86, 1, 0, new byte[2]));
        Channel channel = Scp03.begin(line, startKeys);
        refused(0x6985, line.send(0x80, 0x86, 0, 0, new byte[24]));
        refused(0x6985, Scp03.finish(line, channel, startKeys));
        token.open(startKeys);
        for (int p1 : new int[] {0, 1, 2, 3}) {
            refused(0x6982, token.channel.send(0x88, p1, 1, new byte[32]));
        }
        refused(0x6982, line.send(0x80, 0x86, 0, 0, new byte[24]));
        refused(0x6982, token.channel.send(0xCA, 1, 0));
    }

    @Test
    void presenceInAFullChannelIsRefusedAndTheChannelStays() {
        issue(false);
        Channel channel = token.openOwn(Certificates.ADMIN);
        card.countFromZero();
        refused(0x6985, channel.send(0x88, 2, 1));
        refused(0x6985, channel.send(0x88, 2, 1, new byte[32]));
        assertEquals(0, card.writes());
        assertTrue(channel.send(0xCA, 1, 0).isOk());
    }

    /** After a tear the slot has one use less or is unchanged; on the last use it is unchanged or gone. */
    @Test
    void presenceTornAtEachWrite() {
        for (boolean half : new boolean[] {false, true}) {
            for (int uses : new int[] {0, 63}) {
                for (int n = 0; n < 2; n++) {
                    tornPresence(half, uses, n);
                }
            }
        }
    }

    private void tornPresence(boolean half, int uses, int n) {
        WatchedCard watched = new WatchedCard(startKeys);
        Line to = new Line(watched::transmit);
        Enrollment enrolled = new Enrollment(to, startKeys).run();
        Scp11a terminal = enrolled.terminal(Certificates.READ);
        Enrollment.ok("slot", terminal.open(0x41, enrolled.own).send(0x88, 1, 1, new byte[32]));
        Resumption resumption = new Resumption(terminal);
        for (int i = 0; i < uses; i++) {
            assertTrue(resumption.open(to).send(0x88, 2, 1).isOk());
        }
        Channel channel = resumption.open(to);
        watched.tear(n, half);
        Answer answer = channel.send(0x88, 2, 1);
        boolean torn = watched.wasTorn();
        assertEquals(torn ? 0x6F00 : 0x9000, answer.status());
        watched.putBack();
        int before = USES - uses;
        channel = resumption.open(to);
        if (channel != null) {
            int left = channel.send(0x88, 2, 1).data()[26] + 1;
            assertEquals(n == 0 ? before : before - 1, left);
        } else {
            assertTrue(before == 1 && n == 1, "a slot was lost");
        }
    }

    /** If somebody else uses the key, the terminal sees the missing use at its next tap. */
    @Test
    void useElsewhereIsMissingHere() {
        Resumption resumption = issued();
        Consumer<Integer> expect = left -> assertArrayEquals(presence(left), resumption.open(line).send(0x88, 2, 1).data());
        expect.accept(63);
        card.slots().use(card.slots().find(resumption.tid, (short) 0));
        expect.accept(61);
    }

    /**
      * A holder of a set key can impersonate any terminal to a token of the set, as the terminal's certificate is
      * public. That gives a slot under the terminal's name and evicts the terminal's own; it allows reading, as before,
      * but does not reveal the terminal's key.
     */
    @Test
    void holderOfASetKeyEvictsButGetsNoTerminalsKey() {
        issue(true);
        Scp11a terminal = tap(Certificates.READ);
        Resumption honest = new Resumption(terminal);
        assertArrayEquals(presence(63), honest.open(line).send(0x88, 2, 1).data());
        Scp11a middle = token.terminal(Certificates.READ);
        middle.certificate = terminal.certificate;
        middle.key = token.set;
        Channel channel = middle.open(1, Crypto.point(terminal.key));
        Enrollment.ok("slot", channel.send(0x88, 1, 1, new byte[32]));
        assertFalse(Arrays.equals(terminal.resumptionKey, middle.resumptionKey));
        resumesNoMore(honest);
        Resumption his = new Resumption(terminal);
        his.key = middle.resumptionKey;
        assertTrue(his.open(line).send(0x88, 2, 1).isOk());
        refused(0x6985, his.open(line).send(0x88, 0, 1, new byte[32]));
        // The terminal's next full tap evicts the impostor in turn.
        Channel full = terminal.open(1, Crypto.point(token.set));
        Enrollment.ok("slot", full.send(0x88, 1, 1, new byte[32]));
        resumesNoMore(his);
    }

    @Test
    void eightTerminalsAndTheNinth() {
        issue(false);
        List<Resumption> all = java.util.stream.IntStream.range(0, 9)
            .mapToObj(i -> new Resumption(tap(Certificates.READ))).toList();
        resumesNoMore(all.get(0));
        for (Resumption each : all.subList(1, 9)) {
            assertTrue(each.open(line).send(0x88, 2, 1).isOk());
        }
    }
}
