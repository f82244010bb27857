package rollcall.bridge;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.utils.AIDUtil;
import java.util.Arrays;
import java.util.HexFormat;
import javacard.framework.AID;
import javacard.framework.Applet;

/**
  * A card on the plain simulator, which is more lenient than real cards; tests use it only when they ask for it. It
  * needs the simulator before the test classes on the class path.
 */
final class LenientCard {

    private static final byte[] NO_DIAGNOSIS = {0x6F, 0x00};
    private static final int LONGEST_SHORT = 5 + 255 + 1;
    private static final byte[] WRONG_LENGTH = {0x67, 0x00};
    private static final byte[] NOT_FOUND = {0x6A, (byte) 0x82};
    private static final byte[] WRONG_INS = {0x6D, 0x00};

    private final Simulator simulator = new Simulator();
    private boolean isSelected;

    LenientCard(Class<? extends Applet> applet, byte[] parameters) {
        // With T=0, the simulator's default, case 2 could not be told from case 3.
        simulator.changeProtocol("T=1");
        AID aid = AIDUtil.create(SimulatedCard.APPLET);
        simulator.installApplet(aid, applet, parameters, (short) 0, (byte) parameters.length);
    }

    void reset() {
        isSelected = false;
        simulator.reset();
    }

    /** The simulator's dispatcher recognizes SELECT only as a short APDU; a card recognizes both forms. */
    private static boolean isExtendedSelect(byte[] c) {
        return c.length > 7 && c[0] == 0 && c[1] == (byte) 0xA4 && c[4] == 0 && c[5] == 0
            && c.length - 7 >= (c[6] & 0xFF);
    }

    private static byte[] shortened(byte[] c) {
        int n = c[6] & 0xFF;
        byte[] out = new byte[5 + n + 1];
        System.arraycopy(c, 0, out, 0, 4);
        out[4] = (byte) n;
        System.arraycopy(c, 7, out, 5, n);
        return out;
    }

    /**
      * The simulator's buffer for a short APDU has no room for Le after 255 bytes of data, and it answers 6F00 to what
      * does not fit. Without Le it answers as for Le 00.
     */
    private static byte[] fitting(byte[] c) {
        return c.length == LONGEST_SHORT && c[4] == (byte) 255 ? Arrays.copyOf(c, LONGEST_SHORT - 1) : c;
    }

    /** Whether the lengths add up to one of the cases of ISO/IEC 7816-3, 12.1.3. */
    private static boolean isWellFormed(byte[] c) {
        if (c.length <= 5 || c[4] != 0) {
            int lc = c.length > 5 ? c[4] & 0xFF : 0;
            return c.length >= 4 && (c.length <= 5 || c.length == 5 + lc || c.length == 6 + lc);
        }
        int lc = c.length > 7 ? (c[5] & 0xFF) << 8 | c[6] & 0xFF : 0;
        return c.length == 7 || lc > 0 && (c.length == 7 + lc || c.length == 9 + lc);
    }

    /** The platform's answer while no applet is selected; the simulator would accept part of a name as a name. */
    private static byte[] platformAnswer(byte[] c) {
        boolean isSelect = c[0] == 0 && c[1] == (byte) 0xA4 && c[2] == 4 && c[3] == 0;
        return isSelect ? NOT_FOUND.clone() : WRONG_INS.clone();
    }

    private static boolean selectsApplet(byte[] c) {
        String digits = HexFormat.of().withUpperCase().formatHex(c);
        return digits.startsWith("00A404000A" + SimulatedCard.APPLET);
    }

    /** Always answers: the simulator throws where a card would reject. */
    byte[] transmit(byte[] sent) {
        if (!isWellFormed(sent)) {
            return WRONG_LENGTH.clone();
        }
        byte[] command = isExtendedSelect(sent) ? shortened(sent) : fitting(sent);
        isSelected |= selectsApplet(command);
        if (!isSelected) {
            return platformAnswer(command);
        }
        try {
            return simulator.transmitCommand(command);
        } catch (RuntimeException unforeseen) {
            return NO_DIAGNOSIS.clone();
        }
    }
}
