package rollcall.learner;

import java.util.ArrayList;
import java.util.List;
import net.automatalib.word.Word;

/**
 * Words that lead where random ones seldom come: every certificate, under every key, with two commands behind it, in a
 * token as it was saved and in a blocked one. They only suggest where to look; what is learned is what the card answers.
 */
final class Scenarios {

    private static final List<Symbol> CERTIFICATES = List.of(Symbol.CERTIFICATE_READ, Symbol.CERTIFICATE_WRITE,
        Symbol.CERTIFICATE_ADMIN, Symbol.CERTIFICATE_EXPIRED);
    private static final List<Symbol> AGREEMENTS = List.of(Symbol.AGREE, Symbol.AGREE_OWN);
    private static final List<Symbol> COMMANDS = List.of(Symbol.HEARTBEAT, Symbol.PROVE, Symbol.WRITE_RECORD,
        Symbol.PUT_CA_KEY, Symbol.BLOCK, Symbol.UNBLOCK, Symbol.UNKNOWN_INS);
    private static final Word<Symbol> BLOCKED =
        Word.fromSymbols(Symbol.CERTIFICATE_ADMIN, Symbol.AGREE_OWN, Symbol.BLOCK);

    private Scenarios() {
    }

    static List<Word<Symbol>> words() {
        List<Word<Symbol>> words = new ArrayList<>();
        for (Symbol certificate : CERTIFICATES) {
            for (Symbol agreement : AGREEMENTS) {
                Word<Symbol> keys = Word.fromSymbols(certificate, agreement);
                for (Symbol first : COMMANDS) {
                    words.add(BLOCKED.concat(keys).append(first).append(Symbol.HEARTBEAT));
                    for (Symbol second : COMMANDS) {
                        words.add(keys.append(first).append(second));
                    }
                }
            }
        }
        for (Symbol first : COMMANDS) {
            words.add(Word.fromSymbols(Symbol.INITIALIZE_UPDATE, Symbol.EXTERNAL_AUTHENTICATE, first));
            words.add(Word.fromSymbols(Symbol.INITIALIZE_UPDATE, Symbol.EXTERNAL_WRONG, first));
        }
        return words;
    }
}
