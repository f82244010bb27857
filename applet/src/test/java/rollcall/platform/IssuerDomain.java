package rollcall.platform;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** The issuer security domain, which every card has and which is selected after a reset; it only answers SELECT. */
final class IssuerDomain extends Applet {

    /** The issuer security domain of GlobalPlatform. */
    static final byte[] AID = {(byte) 0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00};
    private static final byte[] CONTROL = {0x6F, 0x0C, (byte) 0x84, 0x08, (byte) 0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00,
        (byte) 0xA5, 0x00};

    @Override
    public void process(APDU apdu) {
        byte[] b = apdu.getBuffer();
        if (!selectingApplet()) {
            boolean isSelect = b[ISO7816.OFFSET_CLA] == 0 && b[ISO7816.OFFSET_INS] == ISO7816.INS_SELECT;
            ISOException.throwIt(isSelect ? ISO7816.SW_FILE_NOT_FOUND : ISO7816.SW_INS_NOT_SUPPORTED);
        }
        short le = apdu.setOutgoing();
        short length = (short) Math.min(le, CONTROL.length);
        apdu.setOutgoingLength(length);
        Util.arrayCopyNonAtomic(CONTROL, (short) 0, b, (short) 0, length);
        apdu.sendBytes((short) 0, length);
    }
}
