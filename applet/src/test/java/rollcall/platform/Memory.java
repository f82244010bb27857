package rollcall.platform;

import java.lang.reflect.Array;
import java.util.Map;
import java.util.WeakHashMap;
import javacard.framework.JCSystem;
import javacard.framework.SystemException;

/** The transient arrays of one card. */
public final class Memory {

    /** Weak, because the simulator's keys allocate a new array whenever they are set. An array equals only itself. */
    private final Map<Object, Byte> kinds = new WeakHashMap<>();

    /** Registers an array to be cleared at this event: {@link JCSystem#CLEAR_ON_RESET} or CLEAR_ON_DESELECT. */
    public <T> T keep(T array, byte event) {
        if (event != JCSystem.CLEAR_ON_RESET && event != JCSystem.CLEAR_ON_DESELECT) {
            SystemException.throwIt(SystemException.ILLEGAL_VALUE);
        }
        kinds.put(array, event);
        return array;
    }

    /** The event that clears this object, or {@link JCSystem#NOT_A_TRANSIENT_OBJECT}. */
    public byte kind(Object object) {
        return kinds.getOrDefault(object, JCSystem.NOT_A_TRANSIENT_OBJECT);
    }

    int size() {
        return kinds.size();
    }

    void deselect() {
        kinds.forEach((array, event) -> {
            if (event == JCSystem.CLEAR_ON_DESELECT) {
                clear(array);
            }
        });
    }

    void reset() {
        kinds.keySet().forEach(Memory::clear);
    }

    private static void clear(Object array) {
        int length = Array.getLength(array);
        System.arraycopy(Array.newInstance(array.getClass().getComponentType(), length), 0, array, 0, length);
    }
}
