package rollcall.learner;

import java.util.function.Consumer;
import rollcall.applet.CachingApplet;
import rollcall.bridge.SimulatedCard;

/**
 * The applet in the simulator, which cannot be copied. What the alphabet writes is what is there already, but for the
 * life cycle and the slots: a word that left the card blocked is followed by an unblocking, and one that filled a slot by
 * a key's replacement by itself, which clears them, so that it stands as it was saved. (The use counter rises; no answer of
 * the alphabet tells it but the proof, of which the learner sees that it holds.)
 */
final class AppletCard implements Card {

    private final SimulatedCard card;
    /** Set once the card is enrolled. */
    Consumer<AppletCard> unblock = none -> { };
    /** Likewise. */
    Consumer<AppletCard> clearSlots = none -> { };

    AppletCard(byte[] startKeys) {
        card = new SimulatedCard(CachingApplet.class, startKeys);
    }

    @Override
    public byte[] transmit(byte[] apdu) {
        return card.transmit(apdu);
    }

    @Override
    public void restore(boolean wasBlocked, boolean hasSlots) {
        card.reset();
        if (wasBlocked || hasSlots) {
            // Blocking has cleared the slots.
            (wasBlocked ? unblock : clearSlots).accept(this);
            card.reset();
        }
    }

    @Override
    public void save() {
        // It stands as it is.
    }

    @Override
    public void close() {
        // Nothing but memory.
    }
}
