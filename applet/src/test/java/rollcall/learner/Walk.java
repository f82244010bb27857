package rollcall.learner;

import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Walks a machine beside a monitor that knows only what was said and answered since the session began. Nothing may be
 * read, written or signed but behind a verified certificate, a completed key agreement and a role that allows it.
 */
final class Walk {

    private static final int NONE = 0;
    private static final int READ = 1;
    private static final int WRITE = 2;
    private static final int ADMIN = 3;
    /** SCP03, before ISSUED. */
    private static final int ENROLLS = 4;

    /** What a session has shown: the role of the certificate seen, and the role of the keys agreed. */
    private record Shown(int certified, int agreed, boolean challenged) { }

    private record Place(int state, Shown shown) { }

    /** How often each thing was given, over all places and edges. */
    final Map<String, Integer> given = new TreeMap<>();

    Walk(Machine machine, boolean isPrivate) {
        Set<Place> seen = new HashSet<>();
        ArrayDeque<Place> open = new ArrayDeque<>();
        Place start = new Place(0, new Shown(NONE, NONE, false));
        seen.add(start);
        open.add(start);
        while (!open.isEmpty()) {
            Place place = open.remove();
            for (Machine.Edge edge : machine.from(place.state)) {
                check(edge, place.shown);
                Place next = new Place(edge.to(), after(place.shown, edge, isPrivate));
                if (seen.add(next)) {
                    open.add(next);
                }
            }
        }
    }

    private void check(Machine.Edge edge, Shown shown) {
        boolean isSuccess = edge.output().startsWith("9000");
        int needed = switch (edge.symbol()) {
            case HEARTBEAT, HEARTBEAT_TWICE, READ_RECORD, PROVE, PLAIN_READ -> READ;
            case WRITE_RECORD, PLAIN_WRITE -> WRITE;
            case PUT_CA_KEY, BLOCK, UNBLOCK -> ADMIN;
            default -> NONE;
        };
        if (edge.output().endsWith("data") || edge.output().contains("MAC") || edge.output().contains("without")) {
            throw new IllegalStateException("an answer that must not be: " + edge);
        }
        if (!isSuccess || needed == NONE) {
            return;
        }
        if (edge.symbol() == Symbol.HEARTBEAT_TWICE && !edge.output().endsWith(", 6982")) {
            throw new IllegalStateException("a command was taken twice: " + edge);
        }
        boolean isPlain = edge.symbol() == Symbol.PLAIN_READ || edge.symbol() == Symbol.PLAIN_WRITE;
        boolean mayNot = shown.agreed == ENROLLS ? needed == READ : shown.agreed < needed;
        if (isPlain || mayNot) {
            throw new IllegalStateException(edge + " with no more shown than " + shown);
        }
        given.merge(edge.output().substring(4).trim() + " by " + edge.symbol(), 1, Integer::sum);
    }

    private static Shown after(Shown shown, Machine.Edge edge, boolean isPrivate) {
        boolean isSuccess = edge.output().startsWith("9000");
        return switch (edge.symbol()) {
            case SELECT, SELECT_OTHER, CERTIFICATE_EXPIRED, CERTIFICATE_OF_A_TOKEN, CERTIFICATE_FORGED ->
                new Shown(NONE, NONE, false);
            case CERTIFICATE_READ -> new Shown(isSuccess ? READ : NONE, NONE, false);
            case CERTIFICATE_WRITE -> new Shown(isSuccess ? WRITE : NONE, NONE, false);
            case CERTIFICATE_ADMIN -> new Shown(isSuccess ? ADMIN : NONE, NONE, false);
            // Under the set key a role is READ, whatever the certificate says.
            case AGREE -> new Shown(NONE, isSuccess ? isPrivate ? Math.min(READ, shown.certified) : shown.certified
                : shown.agreed, false);
            case AGREE_OWN -> new Shown(NONE, isSuccess ? shown.certified : shown.agreed, false);
            case INITIALIZE_UPDATE -> new Shown(NONE, NONE, isSuccess);
            case EXTERNAL_AUTHENTICATE, EXTERNAL_WRONG -> new Shown(NONE, isSuccess && shown.challenged
                && edge.symbol() == Symbol.EXTERNAL_AUTHENTICATE ? ENROLLS : NONE, false);
            default -> shown;
        };
    }
}
