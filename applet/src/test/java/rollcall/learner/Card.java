package rollcall.learner;

/** A token under test: takes APDUs, and can be restored to the image from which every word starts. */
interface Card extends AutoCloseable {

    byte[] transmit(byte[] apdu);

    /**
      * Restores the card as it was saved, powered off.
     *
      * @param wasBlocked whether it is blocked now
      * @param hasSlots whether it may hold resumption keys of terminals
     */
    void restore(boolean wasBlocked, boolean hasSlots);

    /** Saves the current state, from which every word starts from now on. */
    void save();

    @Override
    void close();
}
