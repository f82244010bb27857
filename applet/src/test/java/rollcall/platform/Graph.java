package rollcall.platform;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
  * Finds every object reachable from an applet that a card would have: its own objects, arrays, keys and engines. The
  * insides of the simulator's keys are included on request; those of its engines never are.
 */
final class Graph {

    private static final String KEYS = "com.licel.jcardsim.crypto.";

    private final boolean intoKeys;
    private final String own;
    private final Map<Object, Boolean> found = new IdentityHashMap<>();
    private final List<Object> objects = new ArrayList<>();

    private Graph(Object root, boolean intoKeys) {
        this.intoKeys = intoKeys;
        own = root.getClass().getPackageName();
    }

    static List<Object> of(Object root, boolean intoKeys) {
        Graph graph = new Graph(root, intoKeys);
        graph.visit(root);
        return graph.objects;
    }

    private void visit(Object object) {
        if (object == null || !isOfCard(object.getClass()) || found.put(object, true) != null) {
            return;
        }
        objects.add(object);
        if (object instanceof Object[] array) {
            for (Object each : array) {
                visit(each);
            }
        } else if (!object.getClass().isArray()) {
            for (Field field : fields(object)) {
                if (!field.getType().isPrimitive()) {
                    visit(get(field, object));
                }
            }
        }
    }

    private boolean isOfCard(Class<?> type) {
        Class<?> element = type.isArray() ? type.getComponentType() : type;
        return element == Object.class || element == byte.class || element == short.class || element == boolean.class
            || element.getName().startsWith(KEYS) || element.getPackageName().equals(own)
            || element.getPackageName().startsWith("javacard");
    }

    /** The fields of an object that a card would store: a card has no int, so int fields belong to the test. */
    List<Field> fields(Object object) {
        return fields(object, own, intoKeys);
    }

    static List<Field> fields(Object object, String own, boolean intoKeys) {
        List<Field> fields = new ArrayList<>();
        for (Class<?> c = object.getClass(); c != null; c = c.getSuperclass()) {
            boolean isKey = intoKeys && c.getName().startsWith(KEYS);
            if (c.getPackageName().equals(own) || isKey) {
                for (Field field : c.getDeclaredFields()) {
                    if (!Modifier.isStatic(field.getModifiers()) && field.getType() != int.class) {
                        field.setAccessible(true);
                        fields.add(field);
                    }
                }
            }
        }
        return fields;
    }

    static Object get(Field field, Object object) {
        try {
            return field.get(object);
        } catch (IllegalAccessException e) {
            throw new IllegalStateException(e);
        }
    }

    static void set(Field field, Object object, Object value) {
        try {
            field.set(object, value);
        } catch (IllegalAccessException e) {
            throw new IllegalStateException(e);
        }
    }

    static Object copy(Object array) {
        int length = Array.getLength(array);
        Object copy = Array.newInstance(array.getClass().getComponentType(), length);
        System.arraycopy(array, 0, copy, 0, length);
        return copy;
    }
}
