package rollcall.learner;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import net.automatalib.word.Word;

/**
  * Words that reach states random words seldom reach: every certificate, under every key, followed by two commands, on
  * a token as saved and on a blocked one; and the paths from a slot to a resumed channel, and beyond. They only suggest
  * where to look; what is learned is what the card answers.
 */
final class Scenarios {

    private static final List<Symbol> CERTIFICATES = List.of(Symbol.CERTIFICATE_READ, Symbol.CERTIFICATE_WRITE,
        Symbol.CERTIFICATE_ADMIN, Symbol.CERTIFICATE_EXPIRED);
    private static final List<Symbol> AGREEMENTS = List.of(Symbol.AGREE, Symbol.AGREE_OWN);
    private static final List<Symbol> COMMANDS = List.of(Symbol.HEARTBEAT, Symbol.PROVE, Symbol.WRITE_RECORD,
        Symbol.PUT_CA_KEY, Symbol.BLOCK, Symbol.UNBLOCK, Symbol.UNKNOWN_INS);
    /** What may follow RESUME. */
    private static final List<Symbol> RESUMED = List.of(Symbol.PRESENCE, Symbol.PRESENCE_TWICE, Symbol.HEARTBEAT, Symbol.PROVE,
        Symbol.PROVE_WITH_SLOT, Symbol.WRITE_RECORD, Symbol.UNKNOWN_INS, Symbol.WRONG_MAC, Symbol.RESUME, Symbol.RESUME_SHORT,
        Symbol.CERTIFICATE_READ, Symbol.PLAIN_READ);
    /** Fills a slot for an administrator. */
    private static final Word<Symbol> SLOT = Word.fromSymbols(
        Symbol.CERTIFICATE_ADMIN, Symbol.AGREE_OWN, Symbol.PROVE_WITH_SLOT);
    private static final Word<Symbol> UNBLOCKED =
        Word.fromSymbols(Symbol.CERTIFICATE_ADMIN, Symbol.AGREE_OWN, Symbol.UNBLOCK);
    private static final Word<Symbol> BLOCKED =
        Word.fromSymbols(Symbol.CERTIFICATE_ADMIN, Symbol.AGREE_OWN, Symbol.BLOCK);

    private Scenarios() {
    }

    /** The words that use only symbols of this alphabet. */
    static List<Word<Symbol>> words(Collection<Symbol> alphabet) {
        List<Word<Symbol>> words = new ArrayList<>();
        for (Symbol certificate : CERTIFICATES) {
            for (Symbol agreement : AGREEMENTS) {
                Word<Symbol> keys = Word.fromSymbols(certificate, agreement);
                words.add(keys.append(Symbol.PROVE_WITH_SLOT).append(Symbol.SELECT).append(Symbol.RESUME));
                for (Symbol first : COMMANDS) {
                    words.add(BLOCKED.concat(keys).append(first).append(Symbol.HEARTBEAT));
                    for (Symbol second : COMMANDS) {
                        words.add(keys.append(first).append(second));
                    }
                }
            }
        }
        for (Symbol first : RESUMED) {
            words.add(SLOT.append(Symbol.SELECT).append(Symbol.RESUME).append(first).append(Symbol.HEARTBEAT));
            words.add(SLOT.append(Symbol.SELECT).append(Symbol.RESUME).append(Symbol.PRESENCE).append(first).append(Symbol.HEARTBEAT));
            words.add(SLOT.append(Symbol.SELECT).append(Symbol.RESUME_OTHER_TID).append(first).append(Symbol.HEARTBEAT));
            for (Symbol ends : List.of(Symbol.BLOCK, Symbol.PUT_CA_KEY)) {
                words.add(SLOT.append(ends).append(Symbol.SELECT).append(Symbol.RESUME).append(first));
            }
            words.add(SLOT.append(Symbol.BLOCK).concat(UNBLOCKED).append(Symbol.SELECT).append(Symbol.RESUME).append(first));
        }
        for (Symbol first : COMMANDS) {
            words.add(Word.fromSymbols(Symbol.INITIALIZE_UPDATE, Symbol.EXTERNAL_AUTHENTICATE, first));
            words.add(Word.fromSymbols(Symbol.INITIALIZE_UPDATE, Symbol.EXTERNAL_WRONG, first));
        }
        words.removeIf(word -> !alphabet.containsAll(word.asList()));
        return words;
    }
}
