package rollcall.learner;

import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
  * Walks a machine alongside a monitor that knows only what was sent and answered since the session began. Nothing may
  * be read, written or signed without a verified certificate, a completed key agreement and a role that allows it.
 */
final class Walk {

    private static final int NONE = 0;
    private static final int READ = 1;
    private static final int WRITE = 2;
    private static final int ADMIN = 3;
    /** SCP03, before ISSUED. */
    private static final int ENROLLS = 4;

    /**
      * What a session has shown: the role of the verified certificate and the role of the agreed keys; also whether a
      * slot was filled and not cleared since, and whether the keys are those of a channel resumed from it.
     */
    private record Shown(int certified, int agreed, boolean challenged, boolean slot, boolean resumed) {

        Shown(int certified, int agreed, boolean challenged, boolean slot) {
            this(certified, agreed, challenged, slot, false);
        }
    }

    private record Place(int state, Shown shown) { }

    /** How often each kind of answer was given, over all places and edges. */
    final Map<String, Integer> given = new TreeMap<>();

    Walk(Machine machine, boolean isPrivate) {
        Set<Place> seen = new HashSet<>();
        ArrayDeque<Place> open = new ArrayDeque<>();
        Place start = new Place(0, new Shown(NONE, NONE, false, false));
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
            case HEARTBEAT, HEARTBEAT_TWICE, READ_RECORD, PROVE, PROVE_WITH_SLOT, PLAIN_READ -> READ;
            case WRITE_RECORD, PLAIN_WRITE -> WRITE;
            case PUT_CA_KEY, BLOCK, UNBLOCK -> ADMIN;
            default -> NONE;
        };
        if (edge.output().endsWith("data") || edge.output().contains("MAC") || edge.output().contains("without")) {
            throw new IllegalStateException("an answer that must not be: " + edge);
        }
        boolean isTwice = edge.symbol() == Symbol.HEARTBEAT_TWICE || edge.symbol() == Symbol.PRESENCE_TWICE;
        if (isSuccess && isTwice && !edge.output().endsWith(", 6982")) {
            throw new IllegalStateException("a command was taken twice: " + edge);
        }
        checkResumption(edge, shown, isSuccess);
        if (!isSuccess || needed == NONE) {
            return;
        }
        boolean isPlain = edge.symbol() == Symbol.PLAIN_READ || edge.symbol() == Symbol.PLAIN_WRITE;
        boolean mayNot = shown.agreed == ENROLLS ? needed == READ : shown.agreed < needed;
        if (isPlain || mayNot) {
            throw new IllegalStateException(edge + " with no more shown than " + shown);
        }
        given.merge(edge.output().substring(4).trim() + " by " + edge.symbol(), 1, Integer::sum);
    }

    /**
     * A key resumes only for its terminal and until it is cleared; its channel begins with presence and signs nothing.
     */
    private void checkResumption(Machine.Edge edge, Shown shown, boolean isSuccess) {
        boolean isPresence = edge.symbol() == Symbol.PRESENCE || edge.symbol() == Symbol.PRESENCE_TWICE;
        boolean isProof = edge.symbol() == Symbol.PROVE || edge.symbol() == Symbol.PROVE_WITH_SLOT;
        boolean isKnown = edge.output().equals("9000 known");
        boolean mayResume = edge.symbol() == Symbol.RESUME && shown.slot;
        boolean mayBePresent = shown.resumed && shown.agreed == NONE;
        if (isKnown && !mayResume || isPresence && isSuccess && !mayBePresent || isProof && isSuccess && shown.resumed) {
            throw new IllegalStateException(edge + " with no more shown than " + shown);
        }
        if (isKnown || isPresence && isSuccess) {
            given.merge(edge.output().substring(4).trim() + " by " + edge.symbol(), 1, Integer::sum);
        }
    }

    private static Shown after(Shown shown, Machine.Edge edge, boolean isPrivate) {
        boolean isSuccess = edge.output().startsWith("9000");
        boolean slot = shown.slot;
        return switch (edge.symbol()) {
            case SELECT, SELECT_OTHER, CERTIFICATE_EXPIRED, CERTIFICATE_OF_A_TOKEN, CERTIFICATE_FORGED ->
                new Shown(NONE, NONE, false, slot);
            case CERTIFICATE_READ -> new Shown(isSuccess ? READ : NONE, NONE, false, slot);
            case CERTIFICATE_WRITE -> new Shown(isSuccess ? WRITE : NONE, NONE, false, slot);
            case CERTIFICATE_ADMIN -> new Shown(isSuccess ? ADMIN : NONE, NONE, false, slot);
            case PROVE_WITH_SLOT -> isSuccess ? new Shown(shown.certified, shown.agreed, false, true) : shown;
            // Blocking and any change of keys end all resumption.
            case BLOCK, PUT_CA_KEY -> isSuccess ? new Shown(shown.certified, shown.agreed, shown.challenged, false) : shown;
            case RESUME, RESUME_OTHER_TID, RESUME_SHORT ->
                new Shown(NONE, NONE, false, slot, edge.output().equals("9000 known"));
            case PRESENCE -> isSuccess ? new Shown(NONE, READ, false, slot, true) : shown;
            case PRESENCE_TWICE -> isSuccess ? new Shown(NONE, NONE, false, slot) : shown;
            // Under the set key the role is READ, whatever the certificate grants.
            case AGREE -> new Shown(NONE, isSuccess ? isPrivate ? Math.min(READ, shown.certified) : shown.certified
                : shown.agreed, false, slot, !isSuccess && shown.resumed);
            case AGREE_OWN -> new Shown(NONE, isSuccess ? shown.certified : shown.agreed, false, slot,
                !isSuccess && shown.resumed);
            case INITIALIZE_UPDATE -> new Shown(NONE, NONE, isSuccess, slot);
            case EXTERNAL_AUTHENTICATE, EXTERNAL_WRONG -> new Shown(NONE, isSuccess && shown.challenged
                && edge.symbol() == Symbol.EXTERNAL_AUTHENTICATE ? ENROLLS : NONE, false, slot);
            default -> shown;
        };
    }
}
