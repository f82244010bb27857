package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.applet.Cards.refused;
import static rollcall.terminal.Bytes.hex;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import rollcall.bridge.SimulatedCard;
import rollcall.platform.Profile;
import rollcall.terminal.Answer;
import rollcall.terminal.Certificates;
import rollcall.terminal.Channel;
import rollcall.terminal.Enrollment;
import rollcall.terminal.Line;
import rollcall.terminal.Scp11a;

/** Commands without data, in every case of ISO/IEC 7816-3, 12.1.3 that has none: no platform answers 6F00 to them. */
class CasesTest {

    /** What may follow the header: nothing, Le, and Le in the extended form. */
    private static final List<String> ENDS = List.of("", "00", "F0", "000000", "000100");

    @Test
    void publicListIsTheSameInEachCase() {
        Enrollment token = Cards.open();
        Line line = token.line;
        assertTrue(token.terminal(Certificates.READ).select().isOk());
        byte[] list = line.raw("80CAFF3300").data();
        assertEquals(29, list.length);
        for (String end : ENDS) {
            assertArrayEquals(list, line.raw("80CAFF33" + end).data(), end);
            refused(0x6A88, line.raw("80CAFF34" + end));
            refused(0x6700, line.raw("80CAFF330101" + (end.length() > 2 ? "" : end)));
        }
        // In pieces of Le, in either form: without data the two cannot be told apart.
        assertEquals(0x6117, line.raw("80CAFF3306").status());
        assertEquals(0x6117, line.raw("80CAFF33000006").status());
    }

    @ParameterizedTest
    @ValueSource(strings = {"80CABF21 6A80", "00CA0083 6A80", "80CA0100 6982", "00CA7F21 6982", "802A0310 6A80",
        "80824111 6985", "80500000 6985", "84823300 6985", "84CA0100 6982", "04880001 6982", "84D7010A 6982",
        "84F0409F 6982", "00A40400 6A82", "00A4000C 6A80", "00C00000 6985", "80860000 6700", "80860001 6A80", "80FF0000 6D00", "A0CA0000 6E00",
        "902A0310 9000", "90CAFF33 9000"})
    void refusalIsTheSameInEachCase(String row) {
        Enrollment token = Cards.open();
        String[] cells = row.split(" ");
        for (String end : ENDS) {
            assertTrue(token.terminal(Certificates.READ).select().isOk());
            refused(Integer.parseInt(cells[1], 16), token.line.raw(cells[0] + end));
        }
    }

    /** Under T=0 the platform takes P3 for Lc: the applet must not request data for a command that has none. */
    @Test
    void cardDoesNotWaitForDataUnderT0() {
        SimulatedCard card = new SimulatedCard(new byte[0], new Profile(133, 128, true));
        assertTrue(new Line(card::transmit).raw("00A404000AF0524F4C4C43414C4C01").isOk());
        // FF33, FF34, the tags that clients request from any application (CPLC, card data, key information), and one of
        // ours.
        for (String row : List.of("FF33 6A88", "FF34 6A88", "9F7F 6A80", "0066 6A80", "00E0 6A80", "0101 6982")) {
            String[] cells = row.split(" ");
            for (String cla : List.of("00", "80")) {
                refused(Integer.parseInt(cells[1], 16), new Line(card::transmit).raw(cla + "CA" + cells[0] + "2D"));
            }
        }
    }

    /** Without a MAC the session ends, with a proper status word and not with an exception. */
    @Test
    void heartbeatWithoutMacEndsTheSession() {
        Enrollment token = Cards.open();
        for (String end : ENDS) {
            Channel channel = token.openOwn(Certificates.READ);
            assertTrue(channel.send(0xCA, 1, 0).isOk());
            refused(0x6982, token.line.raw("84CA0100" + end));
            refused(0x6982, channel.send(0xCA, 1, 0));
        }
    }

    @Test
    void emptyPiecesOfAChainAreWhole() {
        Enrollment token = Cards.open();
        Scp11a terminal = token.terminal(Certificates.READ);
        terminal.select();
        for (String end : ENDS) {
            refused(0x9000, token.line.raw("902A0310" + end));
        }
        token.line.dialect = Line.Dialect.SMALL_PIECES;
        assertTrue(terminal.pso().isOk());
        // The last piece may also be empty.
        for (String end : ENDS) {
            refused(0x9000, token.line.raw("90CABF2106A60483021141"));
            Answer answer = token.line.raw("80CABF21" + end);
            assertEquals(0x61, answer.status() >> 8, end);
            assertArrayEquals(hex("3082"), java.util.Arrays.copyOf(answer.data(), 2));
        }
    }
}
