package rollcall.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HexFormat;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the platform around the applet answers. */
class SimulatedCardTest {

    @ParameterizedTest
    @CsvSource({
        // No case of ISO/IEC 7816-3.
        "00, 6700", "80CA01, 6700", "80CAFF3305010203, 6700", "80CAFF330000, 6700", "80CAFF330000000000, 6700",
        "80CAFF3300000401020304AA, 6700",
        // Nothing is selected yet.
        "80CAFF3300, 6986", "00A40400, 6A82", "00A4040003A00000, 6A82", "00A4040005F0524F4C4C, 6A82",
        "00A4000000, 6986",
        // The token, in both forms.
        "00A404000AF0524F4C4C43414C4C0100, 9000", "00A4040000000AF0524F4C4C43414C4C010000, 9000",
    })
    void firstCommand(String command, String status) {
        byte[] answer = new SimulatedCard(new byte[0]).transmit(HexFormat.of().parseHex(command));
        String digits = HexFormat.of().withUpperCase().formatHex(answer);
        assertEquals(status, digits.substring(digits.length() - 4));
    }
}
