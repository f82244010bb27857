package rollcall.applet;

import javacard.framework.ISOException;

/**
  * The token's life cycle state: BLANK, PERSONALISED, ISSUED, BLOCKED, TERMINATED. PERSONALISED is not stored: it is a
  * BLANK token with per-token keys, so switching to those keys and changing the state are one write.
 *
 * Specification: docs/protocol.md, "Life cycle".
 */
final class Lifecycle {

    /** Stored while a RESET is under way; if it is torn, the next SELECT sees this and finishes it. */
    private static final byte RESETTING = 0x06;

    private final Persistent store;
    private final Keys keys;
    private final Scp03Keys scp03Keys;
    private final Records records;
    private final UseCounter counter;
    private final Slots slots;

    Lifecycle(Persistent store, Keys keys, Scp03Keys scp03Keys, Records records, UseCounter counter, Slots slots) {
        this.store = store;
        this.keys = keys;
        this.scp03Keys = scp03Keys;
        this.records = records;
        this.counter = counter;
        this.slots = slots;
        store.set(Persistent.LIFE, Constants.BLANK);
    }

    byte state() {
        byte life = store.get(Persistent.LIFE);
        return life == Constants.BLANK && scp03Keys.arePerToken() ? Constants.PERSONALISED : life;
    }

    boolean isTerminated() {
        return state() == Constants.TERMINATED;
    }

    /** ISSUED or BLOCKED: the token belongs to a user. */
    boolean isInUse() {
        byte state = state();
        return state == Constants.ISSUED || state == Constants.BLOCKED;
    }

    void requireInUse() {
        if (!isInUse()) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
    }

    void requireEnrolling() {
        if (isInUse()) {
            ISOException.throwIt(Constants.SW_CONDITIONS);
        }
    }

    /** Blocking clears all resumption slots, so none is usable even after the token is unblocked. */
    void set(byte state) {
        if (state == Constants.BLOCKED) {
            slots.clear();
        }
        store.set(Persistent.LIFE, state);
    }

    /** Erases everything except the start keys and the diversification data. */
    void reset() {
        slots.clear();
        store.set(Persistent.LIFE, RESETTING);
        finishReset();
    }

    private void finishReset() {
        keys.remove();
        records.remove();
        counter.clear();
        slots.clear();
        scp03Keys.reset();
        store.set(Persistent.LIFE, Constants.BLANK);
    }

    /** Writes the state before erasing the keys, so that no tear can revive the token. */
    void terminate() {
        slots.clear();
        store.set(Persistent.LIFE, Constants.TERMINATED);
        zeroise();
    }

    private void zeroise() {
        keys.remove();
        records.remove();
        counter.clear();
        slots.destroy();
        scp03Keys.destroy();
        store.set(Persistent.ZEROISED, (byte) 1);
    }

    /** Called at every SELECT: finishes a reset or termination interrupted by a tear. */
    void resume() {
        byte life = store.get(Persistent.LIFE);
        if (life == RESETTING) {
            finishReset();
        } else if (life == Constants.TERMINATED && store.get(Persistent.ZEROISED) == 0) {
            zeroise();
        }
    }
}
