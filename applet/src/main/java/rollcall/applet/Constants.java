package rollcall.applet;

/** Protocol constants shared by several classes; a constant used by only one class is defined there. */
final class Constants {

    private Constants() {
    }

    /** F0 "ROLLCALL" 01: a proprietary AID, ISO/IEC 7816-5. */
    static final byte[] AID = {
        (byte) 0xF0, 0x52, 0x4F, 0x4C, 0x4C, 0x43, 0x41, 0x4C, 0x4C, 0x01
    };

    static final byte CLA_CHAINING = 0x10;
    static final byte CLA_SECURE = 0x04;

    static final byte INS_SELECT = (byte) 0xA4;
    static final byte INS_GET_RESPONSE = (byte) 0xC0;
    static final byte INS_GET_DATA = (byte) 0xCA;
    static final byte INS_GET_DATA_PART = (byte) 0xB1;
    static final byte INS_PUT_DATA = (byte) 0xDA;
    static final byte INS_PUT_DATA_PART = (byte) 0xD7;
    static final byte INS_PERFORM_SECURITY_OPERATION = 0x2A;
    /** MUTUAL AUTHENTICATE when sent in plain, EXTERNAL AUTHENTICATE with the secure messaging bit. */
    static final byte INS_AUTHENTICATE = (byte) 0x82;
    static final byte INS_RESUME = (byte) 0x86;
    static final byte INS_INTERNAL_AUTHENTICATE = (byte) 0x88;
    static final byte INS_INITIALIZE_UPDATE = 0x50;
    static final byte INS_PUT_KEY = (byte) 0xD8;
    static final byte INS_GENERATE_KEY = (byte) 0xF1;
    static final byte INS_STORE_DATA = (byte) 0xE2;
    static final byte INS_DELETE_KEY = (byte) 0xE4;
    static final byte INS_SET_STATUS = (byte) 0xF0;

    static final short SW_MORE_DATA = 0x6100;
    static final short SW_AUTHENTICATION_FAILED = 0x6300;
    static final short SW_WRONG_LENGTH = 0x6700;
    static final short SW_LAST_COMMAND_EXPECTED = 0x6883;
    static final short SW_SECURITY_STATUS = 0x6982;
    static final short SW_CONDITIONS = 0x6985;
    static final short SW_WRONG_DATA = 0x6A80;
    static final short SW_NOT_FOUND = 0x6A82;
    static final short SW_NO_ROOM = 0x6A84;
    static final short SW_REFERENCE_NOT_FOUND = 0x6A88;
    static final short SW_INS = 0x6D00;
    static final short SW_CLA = 0x6E00;
    static final short SW_NO_DIAGNOSIS = 0x6F00;
    static final short SW_OK = (short) 0x9000;

    static final byte BLANK = 0x07;
    static final byte PERSONALISED = 0x0F;
    static final byte ISSUED = 0x1F;
    static final byte BLOCKED = (byte) 0x9F;
    static final byte TERMINATED = 0x7F;

    static final byte KID_CA = 0x10;
    static final byte KID_ECKA = 0x11;
    static final byte KID_IDENTITY = 0x21;
    static final byte KVN_OWN = 0x41;
    static final byte KVN_IDENTITY = 0x01;
    static final byte KVN_TOKEN = 0x01;
    static final byte KVN_START = (byte) 0xFF;

    static final short TAG_MODE = 0x0100;
    static final short TAG_RECORD = 0x0101;
    static final short TAG_DETAILS = 0x0102;
    static final short TAG_PORTRAIT = 0x0103;
    static final short TAG_DATE = 0x0104;
    static final short TAG_IDENTITY_CERTIFICATE = 0x7F21;
    static final short TAG_ECKA_CERTIFICATE = (short) 0xBF21;
    static final short TAG_CA_LOOKUP = 0x0083;
    static final short TAG_CA_LIST = (short) 0xFF33;
    static final short TAG_EMPTY_LIST = (short) 0xFF34;

    static final short KEY = 16;
    static final short BLOCK = 16;
    static final short MAC = 8;
    static final short SCALAR = 32;
    static final short POINT = 65;
    static final short HASH = 32;
    static final short CA_ID = 20;
    static final short TOKEN_ID = 16;
    static final short DATE = 12;
    static final short RECORD = 120;
    static final short DETAILS = 2048;
    static final short PORTRAIT = 8192;
    static final short CERTIFICATE = 480;
    static final short TERMINAL_CERTIFICATE = 416;
    static final short PART = 224;
}
