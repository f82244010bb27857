package rollcall.bridge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.hex;

import java.lang.reflect.Method;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import rollcall.platform.Ledger;
import rollcall.platform.Transaction;

/** What the simulated platform around the applet answers. */
class SimulatedCardTest {

    private static final int MOST_AT_INSTALLATION = 1300;

    /**
     * The installation stays well below the commit capacity, above which it would fail, and everything fits into RAM.
     */
    @Test
    void installationFitsTheReferenceImplementation() {
        SimulatedCard card = new SimulatedCard(new byte[48]);
        Ledger installed = card.ledger();
        card.transmit(hex("00A404000AF0524F4C4C43414C4C0100"));
        Ledger grown = card.ledger();
        System.out.println("installation: " + installed.objects() + " objects, " + installed.commit() + " of "
            + Transaction.CAPACITY + " bytes of commit capacity; then " + grown.objects() + " objects, " + grown.ram() + " of "
            + Ledger.RAM + " bytes cleared at a deselection");
        assertTrue(installed.commit() > 0 && installed.commit() <= MOST_AT_INSTALLATION);
        assertTrue(grown.objects() > installed.objects());
        assertTrue(installed.ram() > 0 && grown.ram() <= Ledger.RAM);
    }

    /** Tells the platforms apart: the plain simulator passes a command on another logical channel to the applet. */
    @Test
    void strictUnlessTheSimulatorComesFirst() throws ReflectiveOperationException {
        SimulatedCard strict = new SimulatedCard(new byte[0]);
        strict.transmit(hex("00A404000AF0524F4C4C43414C4C01"));
        assertArrayEquals(hex("6999"), strict.transmit(hex("01CA000000")));

        Class<?> type = Lenient.loader().loadClass(SimulatedCard.class.getName());
        Object lenient = type.getConstructor(byte[].class).newInstance((Object) new byte[0]);
        assertNotSame(SimulatedCard.class, type);
        Method transmit = type.getMethod("transmit", byte[].class);
        assertEquals(38, ((byte[]) transmit.invoke(lenient, (Object) hex("00A404000AF0524F4C4C43414C4C01"))).length);
        assertArrayEquals(hex("6E00"), (byte[]) transmit.invoke(lenient, (Object) hex("01CA000000")));
    }

    @ParameterizedTest
    @CsvSource({
        // Not a case of ISO/IEC 7816-3.
        "00, 6700", "80CA01, 6700", "80CAFF3305010203, 6700", "80CAFF330000, 6700", "80CAFF330000000000, 6700",
        "80CAFF3300000401020304AA, 6700",
        // The issuer domain is selected. The applet is found by its name or a prefix of it, but accepts the whole name
        // only.
        "80CAFF3300, 6D00", "00A40400, 6A82", "00A4040003A00000, 6A82", "00A4040005F0524F4C4C, 6A82",
        "00A4040005F0524F4C4D, 6A82", "00A4000000, 6A82", "00A4040008A000000151000000, 9000",
        // The token, by both forms of SELECT.
        "00A404000AF0524F4C4C43414C4C0100, 9000", "00A4040000000AF0524F4C4C43414C4C010000, 9000",
    })
    void firstCommand(String command, String status) {
        byte[] answer = new SimulatedCard(new byte[0]).transmit(HexFormat.of().parseHex(command));
        String digits = HexFormat.of().withUpperCase().formatHex(answer);
        assertEquals(status, digits.substring(digits.length() - 4));
    }
}
