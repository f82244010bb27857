package javacard.framework;

import rollcall.platform.StrictCard;

/** Shadows the simulator's class of this name: registration and selection are those of {@link StrictCard}. */
public abstract class Applet {

    protected Applet() {
    }

    public static void install(byte[] parameters, short offset, byte length) {
        ISOException.throwIt(ISO7816.SW_FUNC_NOT_SUPPORTED);
    }

    public abstract void process(APDU apdu);

    public boolean select() {
        return true;
    }

    public void deselect() {
        // Nothing to do by default.
    }

    public Shareable getShareableInterfaceObject(AID client, byte parameter) {
        return null;
    }

    protected final void register() {
        StrictCard.current().register(this, null);
    }

    protected final void register(byte[] aid, short offset, byte length) {
        StrictCard.current().register(this, new AID(aid, offset, length));
    }

    protected final boolean selectingApplet() {
        return StrictCard.current().isSelecting(this);
    }

    protected static boolean reSelectingApplet() {
        return false;
    }
}
