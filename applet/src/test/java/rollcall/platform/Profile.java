package rollcall.platform;

/**
 * What one platform does otherwise than another.
 *
 * @param buffer length of the APDU buffer; Java Card asks for 133 bytes at least, many cards have 261
 * @param piece how many bytes of a command's data arrive at a time
 * @param isT0 data are received as under T=0, where the platform takes P3 for Lc; all else stays as under T=1
 */
public record Profile(int buffer, int piece, boolean isT0) {

    /** As the reference implementation of Java Card 3.0.5. */
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
