package rollcall.platform;

/**
  * The properties in which platforms differ.
  *
  * @param buffer length of the APDU buffer; Java Card requires at least 133 bytes, many cards have 261
  * @param piece how many bytes of a command's data arrive at a time
  * @param isT0 data is received as under T=0, where the platform takes P3 for Lc; everything else stays as under T=1
 */
public record Profile(int buffer, int piece, boolean isT0) {

    /** The reference implementation of Java Card 3.0.5. */
    public static final Profile REFERENCE = new Profile(133, 128);

    private static final int LEAST_BUFFER = 133;
    private static final int MOST_BUFFER = 261;

    public Profile(int buffer, int piece) {
        this(buffer, piece, false);
    }

    public Profile {
        if (buffer < LEAST_BUFFER || buffer > MOST_BUFFER || piece < 1) {
            throw new IllegalArgumentException("no platform: a buffer of " + buffer + ", pieces of " + piece);
        }
    }
}
