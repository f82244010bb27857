package rollcall.applet;

import javacard.framework.ISOException;

/**
 * BLANK - PERSONALISED - ISSUED - BLOCKED - TERMINATED. PERSONALISED is not stored: it is a BLANK token with per-token
 * keys, so the switch to these keys and the change of state are one write.
 *
 * Specification: docs/protocol.md, "Life cycle".
 */
final class Lifecycle {

    /** Stored while a RESET is under way; a tear leaves it, and the next SELECT goes on. */
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

    /** ISSUED or BLOCKED: the token belongs to somebody. */
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

    /** A token that is blocked resumes with nobody, also when it is in use again. */
    void set(byte state) {
        if (state == Constants.BLOCKED) {
            slots.clear();
        }
        store.set(Persistent.LIFE, state);
    }

    /** Empties every slot but the start keys and the diversification data. */
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

    /** The state before the keys, so that no tear gives the token back. */
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

    /** At every SELECT: goes on with what a tear interrupted. */
    void resume() {
        byte life = store.get(Persistent.LIFE);
        if (life == RESETTING) {
            finishReset();
        } else if (life == Constants.TERMINATED && store.get(Persistent.ZEROISED) == 0) {
            zeroise();
        }
    }
}
