package rollcall.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HexFormat;
import javacard.framework.APDU;
import javacard.framework.Applet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the strict platform does and the simulator does not, each shown with an applet that relies on the simulator. */
class StrictCardTest {

    private static final String AID = "F0010203040506";
    private static final String SELECT = "00A4040007" + AID;
    private static final String DOMAIN = "00A4040008A000000151000000";

    private StrictCard card = card(Profile.REFERENCE);

    private static StrictCard card(Profile profile) {
        return card(profile, Careless.class);
    }

    private static StrictCard card(Profile profile, Class<? extends Applet> type) {
        StrictCard card = new StrictCard(profile);
        card.install(HexFormat.of().parseHex(AID), type, new byte[0]);
        return card;
    }

    private String send(String apdu) {
        return HexFormat.of().withUpperCase().formatHex(card.transmit(HexFormat.of().parseHex(apdu.replace(" ", ""))));
    }

    private String careless(int ins, String rest) {
        return send(String.format("00%02X", ins) + rest);
    }

    private void select() {
        assertEquals("9000", send(SELECT));
    }

    @Test
    void bytesAreSignedInTheirOrder() {
        select();
        assertEquals("000101009000", careless(Careless.ORDER_BY_SIGN, "0000"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"0000", "000000", "000005", "0000000000", "0000000100"})
    void nothingIsReceivedInCasesWithoutData(String rest) {
        select();
        assertEquals("6F00", careless(Careless.RECEIVE_ALWAYS, rest));
    }

    @ParameterizedTest
    @CsvSource({"0000 01 AA, 0001", "0000 01 AA 00, 0001", "0000 000001 AA, 0001", "0000 000001 AA 0000, 0001"})
    void dataAreReceivedInAllOthers(String rest, String n) {
        select();
        assertEquals(n, careless(Careless.RECEIVE_ALWAYS, rest).substring(0, 4));
    }

    @ParameterizedTest
    @CsvSource({"133, 1", "133, 32", "133, 128", "261, 1", "261, 32", "261, 128", "261, 255"})
    void dataComeInPieces(int buffer, int piece) {
        card = card(new Profile(buffer, piece));
        select();
        String data = "C8" + "01".repeat(200);
        int first = Math.min(Math.min(piece, 200), buffer - 5);
        assertEquals(String.format("%04X", first), careless(Careless.FIRST_PIECE_ONLY, "0000" + data).substring(0, 4));
        boolean isWhole = first == 200;
        String sum = careless(Careless.ALL_AT_ONE_PLACE, "0000" + data).substring(0, 4);
        assertEquals(isWhole, sum.equals("00C8"), sum);
    }

    /** As measured on the reference implementation: cases 1, 2, 3, 4 and the extended ones. */
    @ParameterizedTest
    @CsvSource({"0000, 0100", "000000, 0100", "000012, 0012", "0000 01 AA, 0100", "0000 01 AA 00, 0100", "0000 01 AA 12, 0012",
        "0000 000000, 7FFF", "0000 000100, 0100", "0000 000001 AA, 0100", "0000 000001 AA 0000, 7FFF",
        "0000 000001 AA 9000, 7FFF"})
    void setOutgoingTellsLe(String rest, String le) {
        select();
        assertEquals("0000" + le + "9000", careless(Careless.TELL_LE, rest));
    }

    @ParameterizedTest
    @ValueSource(ints = {Careless.LONG_ANSWER, Careless.SEND_WITHOUT_LENGTH, Careless.BROKEN_PROMISE, Careless.RECEIVE_BEYOND,
        Careless.LENGTH_BEFORE_RECEIVING, Careless.RECEIVE_TWICE})
    void callsHaveAnOrderAndBounds(int ins) {
        select();
        assertEquals("6F00", careless(ins, "0000 02 AABB"));
    }

    /** The answer to an extended APDU may be longer. */
    @Test
    void longAnswerToAnExtendedApdu() {
        select();
        assertEquals(2 * 302, careless(Careless.LONG_ANSWER, "0000 000001 AA 0000").length());
    }

    @Test
    void sendingOverwritesTheBuffer() {
        select();
        assertNotEquals("006107", careless(Careless.HEADER_AFTER_SENDING, "0700"));
    }

    @Test
    void anotherAppletIsSelectedInOurPlace() {
        select();
        careless(Careless.KEEP, "0700");
        assertEquals("000701009000", careless(Careless.TELL_KEPT, "0000"));
        // No such applet: the command goes to ours, which stays selected.
        assertEquals("6D00", send("00A4040005A000000001"));
        assertEquals("000701009000", careless(Careless.TELL_KEPT, "0000"));
        assertTrue(send(DOMAIN).endsWith("9000"));
        assertEquals("6D00", careless(Careless.TELL_KEPT, "0000"));
        select();
        assertEquals("000001009000", careless(Careless.TELL_KEPT, "0000"));
    }

    @Test
    void selectingItAgainDeselectsIt() {
        select();
        careless(Careless.KEEP, "0700");
        select();
        assertEquals("000001009000", careless(Careless.TELL_KEPT, "0000"));
    }

    @Test
    void nothingOfOursIsSelectedAfterAReset() {
        select();
        card.reset();
        assertEquals("6D00", careless(Careless.TELL_KEPT, "0000"));
        assertEquals("6A82", send("00A4040005A000000001"));
        // A prefix of the name must be at least as long as an RID.
        assertEquals("6A82", send("00A4040004F0010203"));
        assertEquals("9000", send("00A4040005F001020304"));
        assertEquals("000001009000", careless(Careless.TELL_KEPT, "0000"));
        card.reset();
        assertEquals("6A82", send("00A4040008F001020304050607"));
        assertEquals("9000", send("00A404000000 07" + AID), "extended");
    }

    @ParameterizedTest
    @CsvSource({"01190000, 6999", "05190000, 6999", "11190000, 6999", "41190000, 6999", "60190000, 6999", "81190000, 6881",
        "91190000, 6881", "C1190000, 6881", "0170000001, 6999", "0070000000, 6C01", "00708001, 6200", "00708000, 6A81",
        "00700101, 6A81", "00700014, 6A86", "0470000001, 6882", "8070000001, 6D00", "A1700000, 6D00", "FF700000, 6D00"})
    void closedChannelsAreThePlatforms(String apdu, String status) {
        select();
        careless(Careless.KEEP, "0700");
        assertEquals(status, send(apdu));
        assertEquals("000701009000", careless(Careless.TELL_KEPT, "0000"));
    }

    @Test
    void channelsOpenAndClose() {
        select();
        assertEquals("019000", send("0070000001"));
        assertEquals("6A86", send("00700001"));
        assertEquals("9000", send("00700003"));
        assertEquals("029000", send("0170000001"));
        assertEquals("049000", send("0070000001"));
        assertEquals("6999", send("01190000"), "nothing is selected there");
        // The applet is active on the basic channel, and not MultiSelectable.
        assertEquals("6985", send("01A4040007" + AID));
        assertTrue(send("02A4040008A000000151000000").endsWith("9000"));
        assertEquals("6D00", send("02190000"));
        assertEquals("9000", send("00708003"));
        assertEquals("6200", send("00708003"));
        card.reset();
        assertEquals("6999", send("01190000"));
    }

    /** An applet that accepts selection on another channel blocks its selection on the basic channel. */
    @Test
    void appletOnAnotherChannelIsInTheWay() {
        assertEquals("9000", send("01A4040007" + AID));
        assertEquals("6985", send(SELECT));
        assertEquals("9000", send("00708001"));
        select();
    }

    @Test
    void transactionsAreRolledBack() {
        select();
        careless(Careless.STORE, "0100");
        assertEquals("000301009000", careless(Careless.TELL_STORED, "0000"));
        assertEquals("6A80", careless(Careless.FAIL_IN_TRANSACTION, "0700"));
        assertEquals("000301009000", careless(Careless.TELL_STORED, "0000"));
        assertEquals("6F00", careless(Careless.LEAVE_TRANSACTION, "0700"));
        assertEquals("000301009000", careless(Careless.TELL_STORED, "0000"));
        assertEquals("6F00", careless(Careless.NESTED, "0000"));
        assertEquals(0, card.transaction().depth());
    }

    @Test
    void commitCapacityHasAnEnd() {
        select();
        assertEquals("6F00", careless(Careless.WRITE_MUCH, "0000"));
    }

    @ParameterizedTest
    @ValueSource(classes = {Careless.ManyObjects.class, Careless.MuchMemory.class})
    void installationHasItsLimits(Class<? extends Applet> type) {
        assertThrows(IllegalStateException.class, () -> card(Profile.REFERENCE, type));
    }

    @Test
    void commandIsSeenWhileItIsProcessedOnly() {
        assertThrows(SecurityException.class, APDU::getCurrentAPDU);
        assertThrows(SecurityException.class, () -> card.register(new IssuerDomain(), null));
    }
}
