package rollcall.learner;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import net.automatalib.alphabet.impl.Alphabets;
import net.automatalib.automaton.transducer.MealyMachine;
import net.automatalib.automaton.transducer.impl.CompactMealy;
import net.automatalib.word.Word;

/** A learned machine in canonical form: its states are numbered in breadth-first order. */
final class Machine {

    record Edge(int from, Symbol symbol, String output, int to) { }

    final List<Edge> edges = new ArrayList<>();
    final int states;
    private final int symbols;

    private Machine(List<Edge> edges, int states, int symbols) {
        this.edges.addAll(edges);
        this.states = states;
        this.symbols = symbols;
    }

    static <S, T> Machine of(MealyMachine<S, Symbol, T, String> learned, Collection<Symbol> alphabet) {
        Map<S, Integer> numbers = new HashMap<>();
        ArrayDeque<S> open = new ArrayDeque<>();
        numbers.put(learned.getInitialState(), 0);
        open.add(learned.getInitialState());
        List<Edge> edges = new ArrayList<>();
        while (!open.isEmpty()) {
            S state = open.remove();
            for (Symbol symbol : alphabet) {
                T transition = learned.getTransition(state, symbol);
                S next = learned.getSuccessor(transition);
                if (numbers.putIfAbsent(next, numbers.size()) == null) {
                    open.add(next);
                }
                edges.add(new Edge(numbers.get(state), symbol, learned.getTransitionOutput(transition), numbers.get(next)));
            }
        }
        return new Machine(edges, numbers.size(), alphabet.size());
    }

    /** The machine as DOT text; equal machines give equal text. */
    String toDot() {
        StringBuilder dot = new StringBuilder("digraph machine {\n");
        for (Edge edge : edges) {
            dot.append(String.format("  s%d -> s%d [label=\"%s / %s\"];%n", edge.from, edge.to, edge.symbol, edge.output));
        }
        return dot.append("}\n").toString();
    }

    /** A shortest word to which the two machines answer differently; null if they are the same machine. */
    static <S, T, U, V> Word<Symbol> separating(
            MealyMachine<S, Symbol, T, String> one, MealyMachine<U, Symbol, V, String> other, Collection<Symbol> alphabet) {
        // AutomataLib's own search runs out of its array's bounds if the first machine is the larger one.
        record Pair<A, B>(A one, B other) { }
        Map<Pair<S, U>, Word<Symbol>> reached = new LinkedHashMap<>();
        ArrayDeque<Pair<S, U>> open = new ArrayDeque<>();
        Pair<S, U> start = new Pair<>(one.getInitialState(), other.getInitialState());
        reached.put(start, Word.epsilon());
        open.add(start);
        while (!open.isEmpty()) {
            Pair<S, U> pair = open.remove();
            for (Symbol symbol : alphabet) {
                Word<Symbol> word = reached.get(pair).append(symbol);
                if (!one.getOutput(pair.one, symbol).equals(other.getOutput(pair.other, symbol))) {
                    return word;
                }
                Pair<S, U> next = new Pair<>(one.getSuccessor(pair.one, symbol), other.getSuccessor(pair.other, symbol));
                if (reached.putIfAbsent(next, word) == null) {
                    open.add(next);
                }
            }
        }
        return null;
    }

    /** Parses the text of {@link #toDot}. */
    static CompactMealy<Symbol, String> parse(String dot) {
        CompactMealy<Symbol, String> machine = new CompactMealy<>(Alphabets.fromEnum(Symbol.class));
        Pattern edge = Pattern.compile("s(\\d+) -> s(\\d+) \\[label=\"(\\w+) / ([^\"]*)\"");
        Matcher matcher = edge.matcher(dot);
        while (matcher.find()) {
            int from = Integer.parseInt(matcher.group(1));
            int to = Integer.parseInt(matcher.group(2));
            while (machine.size() <= Math.max(from, to)) {
                machine.addState();
            }
            machine.setTransition(from, Symbol.valueOf(matcher.group(3)), to, matcher.group(4));
        }
        machine.setInitialState(0);
        return machine;
    }

    /** A simplified picture for readers: executed commands, and certificates only from states without a session. */
    String toPicture(String title) {
        Map<String, List<String>> labels = new LinkedHashMap<>();
        for (Edge edge : edges) {
            boolean begins = edge.symbol.name().startsWith("CERTIFICATE") && !isStart(edge.from);
            boolean isDull = edge.symbol == Symbol.SELECT || edge.symbol == Symbol.HEARTBEAT_TWICE
                || edge.symbol == Symbol.ODD_CHAIN || edge.symbol.name().startsWith("GET");
            if (!begins && !isDull && edge.output.startsWith("9000")) {
                labels.computeIfAbsent("s" + edge.from + " -> s" + edge.to, none -> new ArrayList<>())
                    .add(edge.symbol + " / " + edge.output);
            }
        }
        StringBuilder dot = new StringBuilder("digraph machine {\n  labelloc=t; fontname=\"sans-serif\"; label=\"" + title
            + "\\nwhat is refused, public or leads back to the start is left out; SELECT and a certificate begin anew anywhere\";\n"
            + "  rankdir=LR; node [shape=circle, fontname=\"sans-serif\"]; edge [fontsize=10, fontname=\"sans-serif\"];\n");
        labels.forEach((arrow, texts) ->
            dot.append("  ").append(arrow).append(" [label=\"").append(String.join("\\n", texts)).append("\"];\n"));
        return dot.append("}\n").toString();
    }

    /** Whether SELECT leads back to this state: there is no session. */
    private boolean isStart(int state) {
        return from(state).stream().anyMatch(edge -> edge.symbol == Symbol.SELECT && edge.to == state);
    }

    List<Edge> from(int state) {
        return edges.subList(state * symbols, (state + 1) * symbols);
    }
}
