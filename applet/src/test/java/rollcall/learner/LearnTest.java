package rollcall.learner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import de.learnlib.algorithm.ttt.mealy.TTTLearnerMealy;
import de.learnlib.algorithm.ttt.mealy.TTTLearnerMealyBuilder;
import de.learnlib.filter.cache.mealy.MealyCacheOracle;
import de.learnlib.filter.cache.mealy.MealyCaches;
import de.learnlib.oracle.equivalence.MealyRandomWpMethodEQOracle;
import de.learnlib.oracle.membership.SULOracle;
import de.learnlib.query.DefaultQuery;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import net.automatalib.alphabet.Alphabet;
import net.automatalib.alphabet.impl.Alphabets;
import net.automatalib.automaton.transducer.MealyMachine;
import net.automatalib.word.Word;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
  * Learns the token's state machine from outside, from the applet and from the software token, and checks that both are
  * the same machine, that it is the one kept in `applet/machine`, and that it gives nothing to anyone not entitled to
  * it.
  *
  * `-Drollcall.token=FILE` names the program of the software token; `-Drollcall.keep=true` keeps what was learned.
  * Without `-Drollcall.whole=true` issued tokens are learned without the fast tap, which doubles their states and the
  * time.
 */
@Tag("learn")
class LearnTest {

    private static final Path KEPT = Path.of("machine");
    private static final long SEED = 20261123;
    /**
     * Number of words that test each hypothesis: an access sequence, random symbols, a suffix that tells states apart.
     */
    private static final int TRIALS = 150;
    private static final int TRIALS_TO_KEEP = 500;
    private static final boolean IS_KEPT = Boolean.getBoolean("rollcall.keep");
    private static final boolean IS_WHOLE = IS_KEPT || Boolean.getBoolean("rollcall.whole");
    private static final int RANDOM_LENGTH = 5;

    /** The symbols the learner sends to a card of this image. */
    private static Alphabet<Symbol> alphabet(Image image) {
        List<Symbol> all = List.of(Symbol.values());
        boolean isShort = image != Image.PERSONALISED && !IS_WHOLE;
        return Alphabets.fromList(isShort ? all.stream().filter(symbol -> !symbol.isOfFastTap()).toList() : all);
    }

    private record Learned(MealyMachine<?, Symbol, ?, String> machine, Terminal terminal, double seconds) { }

    @ParameterizedTest
    @EnumSource(Image.class)
    void bothTokensAreTheKeptMachine(Image image) throws IOException {
        String program = System.getProperty("rollcall.token");
        assertTrue(program != null && !program.isEmpty(), "-Drollcall.token: scripts/test learn sets it");
        Function<byte[], Card> inSoftware = keys -> new SoftwareToken(program, keys);
        CompletableFuture<Learned> beside = CompletableFuture.supplyAsync(() -> learn(image, inSoftware, inSoftware));
        Learned applet = learn(image, AppletCard::new, AppletCard::new);
        Learned token = beside.join();
        report(image, "applet", applet);
        report(image, "token in software", token);
        Alphabet<Symbol> alphabet = alphabet(image);
        Word<Symbol> difference = Machine.separating(applet.machine, token.machine, alphabet);
        assertNull(difference, () -> "applet: " + applet.machine.computeOutput(difference)
            + ", token in software: " + token.machine.computeOutput(difference) + " to " + difference);

        Machine machine = Machine.of(applet.machine, alphabet);
        compareWithKept(image, machine, applet.machine);
        Walk walk = new Walk(machine, image.isPrivate);
        System.out.println("walk " + image + ": " + walk.given);
        assertEquals(image != Image.PERSONALISED, walk.given.containsKey("proof by PROVE"), "proofs are given, once ISSUED");
        boolean resumes = image != Image.PERSONALISED && alphabet.contains(Symbol.PRESENCE);
        assertEquals(resumes, walk.given.containsKey("presence by PRESENCE"), "channels are resumed then");
        assertTrue(walk.given.containsKey("written by WRITE_RECORD"), "the walk met no writing");
    }

    private static Learned learn(Image image, Function<byte[], Card> blank, Function<byte[], Card> other) {
        long start = System.nanoTime();
        Image.Made made = image.make(blank);
        Image.Made twin = image.isPrivate ? image.twin(made, other) : null;
        try (Card card = made.card(); Card second = twin == null ? null : twin.card()) {
            Terminal terminal = new Terminal(image, made, twin);
            Alphabet<Symbol> alphabet = alphabet(image);
            MealyCacheOracle<Symbol, String> oracle = MealyCaches.createTreeCache(alphabet, new SULOracle<>(terminal));
            TTTLearnerMealy<Symbol, String> learner =
                new TTTLearnerMealyBuilder<Symbol, String>().withAlphabet(alphabet).withOracle(oracle).create();
            MealyRandomWpMethodEQOracle<Symbol, String> tester =
                new MealyRandomWpMethodEQOracle<>(oracle, 1, RANDOM_LENGTH, IS_KEPT ? TRIALS_TO_KEEP : TRIALS, new Random(SEED), 1);
            learner.startLearning();
            DefaultQuery<Symbol, Word<String>> counterexample;
            do {
                counterexample = suggested(image, learner, oracle);
                if (counterexample == null) {
                    counterexample = firstDifference(Scenarios.words(alphabet), learner, oracle);
                }
                if (counterexample == null) {
                    counterexample = tester.findCounterExample(learner.getHypothesisModel(), alphabet);
                }
            } while (counterexample != null && learner.refineHypothesis(counterexample));
            return new Learned(learner.getHypothesisModel(), terminal, (System.nanoTime() - start) / 1e9);
        }
    }

    /** A word on which the kept machine differs from the hypothesis, if the card differs there too. */
    private static DefaultQuery<Symbol, Word<String>> suggested(
            Image image, TTTLearnerMealy<Symbol, String> learner, MealyCacheOracle<Symbol, String> oracle) {
        Path file = KEPT.resolve(image.fileName());
        if (IS_KEPT || !Files.exists(file)) {
            // A machine that is to be kept must be learned without hints from the one kept before.
            return null;
        }
        try {
            Word<Symbol> word = Machine.separating(learner.getHypothesisModel(), Machine.parse(Files.readString(file)), alphabet(image));
            if (word == null) {
                return null;
            }
            return firstDifference(List.of(word), learner, oracle);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The first of these words to which the card answers differently from the hypothesis. */
    private static DefaultQuery<Symbol, Word<String>> firstDifference(List<Word<Symbol>> words,
            TTTLearnerMealy<Symbol, String> learner, MealyCacheOracle<Symbol, String> oracle) {
        MealyMachine<?, Symbol, ?, String> hypothesis = learner.getHypothesisModel();
        for (Word<Symbol> word : words) {
            Word<String> output = oracle.answerQuery(word);
            if (!output.equals(hypothesis.computeOutput(word))) {
                return new DefaultQuery<>(word, output);
            }
        }
        return null;
    }

    private static void report(Image image, String who, Learned learned) {
        System.out.printf("learned %s, %s: %d states, %d symbols said, %d answers of two tokens compared, %.0f s, seed %d%n",
            image, who, learned.machine.size(), learned.terminal.symbols, learned.terminal.compared, learned.seconds, SEED);
        assertEquals(image.isPrivate, learned.terminal.compared > 0);
    }

    private static void compareWithKept(Image image, Machine machine, MealyMachine<?, Symbol, ?, String> learned)
            throws IOException {
        Path file = KEPT.resolve(image.fileName());
        if (IS_KEPT) {
            Files.createDirectories(KEPT);
            Files.writeString(file, machine.toDot());
        }
        String title = image.name().toLowerCase(java.util.Locale.ROOT).replace('_', ' ');
        Files.writeString(Path.of("target", image.fileName()), machine.toPicture(title));
        String kept = Files.readString(file);
        if (alphabet(image).size() < Symbol.values().length) {
            assertNull(Machine.separating(learned, Machine.parse(kept), alphabet(image)), "not the machine kept in " + file);
            return;
        }
        assertEquals(kept, machine.toDot(), "not the machine kept in " + file);
    }
}
