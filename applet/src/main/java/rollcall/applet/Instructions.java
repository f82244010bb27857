package rollcall.applet;

/**
  * The table of supported classes and instructions, and which of them need secure messaging.
 *
 * Specification: docs/protocol.md, "Classes and instructions".
 */
final class Instructions {

    private static final byte CLA_PROPRIETARY = (byte) 0x80;
    private static final byte CLA_PROPRIETARY_SECURE = (byte) 0x84;

    private Instructions() {
    }

    /** 00 or 80, with or without secure messaging. */
    static boolean isClass(byte cla) {
        return (cla & ~(CLA_PROPRIETARY | Constants.CLA_SECURE)) == 0;
    }

    /** 6E00 or 6D00 for an unsupported class or instruction; 0 if supported, in plain or under secure messaging. */
    static short fault(byte cla, byte ins) {
        if (!isClass(cla)) {
            return Constants.SW_CLA;
        }
        switch (ins) {
            case Constants.INS_SELECT:
            case Constants.INS_GET_RESPONSE:
                return Constants.SW_CLA;
            case Constants.INS_PERFORM_SECURITY_OPERATION:
            case Constants.INS_INITIALIZE_UPDATE:
            case Constants.INS_RESUME:
                return cla == CLA_PROPRIETARY ? 0 : Constants.SW_CLA;
            case Constants.INS_AUTHENTICATE:
                return cla == CLA_PROPRIETARY || cla == CLA_PROPRIETARY_SECURE ? 0 : Constants.SW_CLA;
            default:
                return ins == Constants.INS_GET_DATA || needsChannel(ins) ? 0 : Constants.SW_INS;
        }
    }

    /** Whether this instruction is executed under secure messaging only. */
    static boolean needsChannel(byte ins) {
        switch (ins) {
            case Constants.INS_INTERNAL_AUTHENTICATE:
            case Constants.INS_GET_DATA_PART:
            case Constants.INS_PUT_DATA_PART:
            case Constants.INS_PUT_DATA:
            case Constants.INS_PUT_KEY:
            case Constants.INS_GENERATE_KEY:
            case Constants.INS_STORE_DATA:
            case Constants.INS_DELETE_KEY:
            case Constants.INS_SET_STATUS:
                return true;
            default:
                return false;
        }
    }
}
