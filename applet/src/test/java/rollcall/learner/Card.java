package rollcall.learner;

/** A token under test: APDUs, and a way back to the image that every word begins with. */
interface Card extends AutoCloseable {

    byte[] transmit(byte[] apdu);

    /**
     * The card as it was saved, without power.
     *
     * @param wasBlocked whether it stands blocked now
     * @param hasSlots whether it may keep keys for terminals
     */
    void restore(boolean wasBlocked, boolean hasSlots);

    /** What every word begins with from now on. */
    void save();

    @Override
    void close();
}
