package rollcall.applet;

/** The card was lifted in the middle of a write. */
final class TornWrite extends RuntimeException {

    private static final long serialVersionUID = 1;
}
