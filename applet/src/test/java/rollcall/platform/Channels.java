package rollcall.platform;

/** The logical channel in a class byte, ISO/IEC 7816-4, 5.4.1, as the reference implementation reads it. */
final class Channels {

    static final int LAST = 19;
    private static final int SECURE = 0x0C;
    private static final int FIRST_FURTHER = 4;
    private static final int FURTHER = 0x40;
    private static final int PROPRIETARY = 0x80;
    private static final int RESERVED = 0x20;
    private static final int INVALID = 0xFF;

    private Channels() {
    }

    /** The channel of a class byte. Reserved classes and FF belong to the basic channel. */
    static int of(int cla) {
        if (cla == INVALID) {
            return 0;
        }
        if ((cla & FURTHER) != 0) {
            return FIRST_FURTHER + (cla & 0x0F);
        }
        return (cla & RESERVED) != 0 ? 0 : cla & 3;
    }

    /** The status word for a command on a channel that is not open. */
    static int closed(int cla) {
        return (cla & PROPRIETARY) != 0 ? 0x6881 : StrictCard.NOT_SELECTED;
    }

    /** Whether the platform handles SELECT and MANAGE CHANNEL of this class itself. */
    static boolean isInterindustry(int cla) {
        return (cla & (PROPRIETARY | FURTHER | RESERVED)) == 0 || (cla & (PROPRIETARY | FURTHER)) == FURTHER;
    }

    static boolean isSecure(int cla) {
        return (cla & FURTHER) == 0 ? (cla & SECURE) != 0 : (cla & RESERVED) != 0;
    }
}
