package rollcall.bridge;

import java.util.HexFormat;
import javacard.framework.APDU;
import javacard.framework.Applet;
import rollcall.applet.RollcallApplet;
import rollcall.platform.Exchange;
import rollcall.platform.Ledger;
import rollcall.platform.Profile;
import rollcall.platform.StrictCard;

/**
  * A card with the applet installed, whose memory lives as long as this object. It is a {@link StrictCard} if the class
  * path names the test classes before the simulator, and a {@link LenientCard} if the simulator comes first.
 */
public final class SimulatedCard {

    static final String APPLET = "F0524F4C4C43414C4C01";

    private interface Platform {
        byte[] transmit(byte[] apdu);

        void reset();
    }

    static {
        // Otherwise the simulator's "random" data is the same in every process.
        System.setProperty("com.licel.jcardsim.randomdata.secure", "1");
    }

    private final Platform platform;
    private StrictCard strict;

    /** @param startKeys 48 bytes, or nothing for GlobalPlatform's test keys */
    public SimulatedCard(byte[] startKeys) {
        this(RollcallApplet.class, startKeys);
    }

    public SimulatedCard(Class<? extends Applet> applet, byte[] startKeys) {
        this(applet, startKeys, Profile.REFERENCE);
    }

    public SimulatedCard(byte[] startKeys, Profile profile) {
        this(RollcallApplet.class, startKeys, profile);
    }

    public SimulatedCard(Class<? extends Applet> applet, byte[] startKeys, Profile profile) {
        byte[] parameters = installParameters(startKeys);
        platform = isStrict() ? strict(applet, parameters, profile) : lenient(applet, parameters);
    }

    /** Whether the class path selects the strict platform. */
    public static boolean isStrict() {
        try {
            return APDU.class.getConstructor(Exchange.class) != null;
        } catch (NoSuchMethodException theSimulators) {
            return false;
        }
    }

    private Platform strict(Class<? extends Applet> applet, byte[] parameters, Profile profile) {
        StrictCard card = new StrictCard(profile);
        card.install(HexFormat.of().parseHex(APPLET), applet, parameters);
        strict = card;
        return new Platform() {
            @Override
            public byte[] transmit(byte[] apdu) {
                return card.transmit(apdu);
            }

            @Override
            public void reset() {
                card.reset();
            }
        };
    }

    private static Platform lenient(Class<? extends Applet> applet, byte[] parameters) {
        LenientCard card = new LenientCard(applet, parameters);
        return new Platform() {
            @Override
            public byte[] transmit(byte[] apdu) {
                return card.transmit(apdu);
            }

            @Override
            public void reset() {
                card.reset();
            }
        };
    }

    /** As INSTALL [for install] passes them on: length and AID, length and control information, length and data. */
    private static byte[] installParameters(byte[] data) {
        byte[] aid = HexFormat.of().parseHex(APPLET);
        byte[] parameters = new byte[aid.length + 3 + data.length];
        parameters[0] = (byte) aid.length;
        System.arraycopy(aid, 0, parameters, 1, aid.length);
        parameters[aid.length + 2] = (byte) data.length;
        System.arraycopy(data, 0, parameters, aid.length + 3, data.length);
        return parameters;
    }

    /** Makes the card deliver data as this profile says; strict platform only. */
    public void use(Profile profile) {
        strict.use(profile);
    }

    /** The memory used by the applet so far; strict platform only. */
    public Ledger ledger() {
        return strict.ledger();
    }

    /** Power off, power on and reset look the same to the applet: transient memory and selection are lost. */
    public void reset() {
        platform.reset();
    }

    /** Always answers. */
    public byte[] transmit(byte[] apdu) {
        return platform.transmit(apdu);
    }
}
