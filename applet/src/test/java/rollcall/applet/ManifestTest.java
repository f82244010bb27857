package rollcall.applet;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static rollcall.terminal.Bytes.part;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import rollcall.terminal.Crypto;
import rollcall.terminal.Enrollment;

/** The card sorts the entries of the manifest as the terminal does, for any keys. */
class ManifestTest {

    private static final int CARDS = 200;

    /** A byte of the check value of the ENC key. */
    private static int checkValue(Enrollment token, int index) {
        return Crypto.checkValue(part(token.tokenKeys, 0, 16))[index] & 0xFF;
    }

    private static Enrollment blank(boolean isPrivate) {
        Enrollment token = Cards.blank();
        token.isPrivate = isPrivate;
        return token;
    }

    @Test
    void everyCardOfManyIsIssued() {
        int high = 0;
        for (int i = 0; i < CARDS; i++) {
            Enrollment token = blank(i % 4 == 0);
            high += checkValue(token, 0) >> 7;
            token.run();
        }
        assertTrue(high > CARDS / 4 && high < CARDS * 3 / 4, high + " ENC check values from 80 on");
    }

    /** The ENC key's entry `01 01 kcv` and the record's `01 01 00 hash` may share a prefix: then the hash decides. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void checkValuesThatBeginAsTheEntryOfTheRecord(boolean recordFirst) {
        for (int i = 0; i < 4; i++) {
            Enrollment token = blank(false);
            while (checkValue(token, 0) != 0 || checkValue(token, 1) < 0x40 || checkValue(token, 1) > 0xC0) {
                System.arraycopy(Crypto.random(16), 0, token.tokenKeys, 0, 16);
            }
            int second = checkValue(token, 1);
            int hash;
            do {
                token.record = Crypto.random(20);
                hash = Crypto.sha256(token.record)[0] & 0xFF;
            } while (hash == second || hash < second != recordFirst);
            token.run();
        }
    }
}
