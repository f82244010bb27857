package rollcall.bridge;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.utils.AIDUtil;
import java.util.Arrays;
import java.util.HexFormat;
import javacard.framework.AID;
import javacard.framework.Applet;
import rollcall.applet.RollcallApplet;

/** A card with the applet on it. Its memory lives as long as the object. */
public final class SimulatedCard {

    private static final String APPLET = "F0524F4C4C43414C4C01";
    private static final byte[] NO_DIAGNOSIS = {0x6F, 0x00};
    private static final int LONGEST_SHORT = 5 + 255 + 1;
    private static final byte[] WRONG_LENGTH = {0x67, 0x00};

    static {
        // Otherwise the simulator's "random" data are the same in every process.
        System.setProperty("com.licel.jcardsim.randomdata.secure", "1");
    }

    private static final byte[] NOT_FOUND = {0x6A, (byte) 0x82};
    private static final byte[] NOTHING_SELECTED = {0x69, (byte) 0x86};

    private final Simulator simulator = new Simulator();
    private boolean isSelected;

    /** @param startKeys 48 bytes, or nothing for GlobalPlatform's test keys */
    public SimulatedCard(byte[] startKeys) {
        this(RollcallApplet.class, startKeys);
    }

    public SimulatedCard(Class<? extends Applet> applet, byte[] startKeys) {
        // As a card in the field of a reader: with T=0, the simulator's default, no platform could tell case 2 from case 3.
        simulator.changeProtocol("T=1");
        AID aid = AIDUtil.create(APPLET);
        byte[] parameters = installParameters(startKeys);
        simulator.installApplet(aid, applet, parameters, (short) 0, (byte) parameters.length);
    }

    /** As INSTALL [for install] hands them on: length and AID, length and control information, length and data. */
    private static byte[] installParameters(byte[] data) {
        byte[] aid = HexFormat.of().parseHex(APPLET);
        byte[] parameters = new byte[aid.length + 3 + data.length];
        parameters[0] = (byte) aid.length;
        System.arraycopy(aid, 0, parameters, 1, aid.length);
        parameters[aid.length + 2] = (byte) data.length;
        System.arraycopy(data, 0, parameters, aid.length + 3, data.length);
        return parameters;
    }

    /** Power off, power on and reset are the same to the applet: its transient memory is gone, and so is its selection. */
    public void reset() {
        isSelected = false;
        simulator.reset();
    }

    /** The simulator's dispatcher knows SELECT only as a short APDU; a card knows both. */
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
     * The simulator's buffer for a short APDU ends where Le would stand behind 255 bytes of data, and it answers 6F00 to
     * what does not fit. Without Le it answers as for Le 00.
     */
    private static byte[] fitting(byte[] c) {
        return c.length == LONGEST_SHORT && c[4] == (byte) 255 ? Arrays.copyOf(c, LONGEST_SHORT - 1) : c;
    }

    /** One of the cases of ISO/IEC 7816-3, 12.1.3: the lengths add up. */
    private static boolean isWellFormed(byte[] c) {
        if (c.length <= 5 || c[4] != 0) {
            int lc = c.length > 5 ? c[4] & 0xFF : 0;
            return c.length >= 4 && (c.length <= 5 || c.length == 5 + lc || c.length == 6 + lc);
        }
        int lc = c.length > 7 ? (c[5] & 0xFF) << 8 | c[6] & 0xFF : 0;
        return c.length == 7 || lc > 0 && (c.length == 7 + lc || c.length == 9 + lc);
    }

    /** What the platform answers while no applet is selected; the simulator would take part of a name for one. */
    private static byte[] platformAnswer(byte[] c) {
        boolean isSelect = c[0] == 0 && c[1] == (byte) 0xA4 && c[2] == 4 && c[3] == 0;
        return isSelect ? NOT_FOUND.clone() : NOTHING_SELECTED.clone();
    }

    private static boolean selectsApplet(byte[] c) {
        String digits = HexFormat.of().withUpperCase().formatHex(c);
        return digits.startsWith("00A404000A" + APPLET);
    }

    /** Answers always: the simulator throws on what a card would refuse. */
    public byte[] transmit(byte[] sent) {
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
