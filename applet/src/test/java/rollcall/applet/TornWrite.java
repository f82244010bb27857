package rollcall.applet;

/** Thrown when the simulated card is removed in the middle of a write. */
final class TornWrite extends RuntimeException {

    private static final long serialVersionUID = 1;
}
