package rollcall.learner;

import java.util.function.Consumer;
import rollcall.applet.CachingApplet;
import rollcall.bridge.SimulatedCard;

/**
  * The applet in the simulator, as a card for the learner. The simulator cannot be copied, so restoring undoes what a
  * word changed. Writes of the alphabet store what is there already, so only the life cycle and the slots change: after
  * a word that left the card blocked it is unblocked, and after one that filled a slot a key is replaced by itself,
  * which clears the slots. (The use counter rises, but only the proof shows it, and the learner sees only that the
  * proof is valid.)
 */
final class AppletCard implements Card {

    private final SimulatedCard card;
    /** Set once the card is enrolled. */
    Consumer<AppletCard> unblock = none -> { };
    /** Set once the card is enrolled, like {@link #unblock}. */
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
            // If it was blocked, that has cleared the slots.
            (wasBlocked ? unblock : clearSlots).accept(this);
            card.reset();
        }
    }

    @Override
    public void save() {
        // Nothing to save: restore() undoes the changes.
    }

    @Override
    public void close() {
        // Holds only memory.
    }
}
