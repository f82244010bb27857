package rollcall.platform;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;

/**
  * Computes from the class files how deep the Java stack gets: the local variables and operands of each method on the
  * worst path through the applet's own code, plus what the virtual machine keeps per frame. A word is two bytes;
  * arguments are counted once, because the caller's operands become the callee's variables.
 */
final class StackDepth {

    private static final int WORD = 2;
    /** Words that the reference implementation keeps per frame. */
    private static final int FRAME = 3;

    private record Method(int args, int own, List<String> calls) { }

    private final Map<String, Method> methods = new HashMap<>();
    private final Map<String, String> parents = new HashMap<>();
    private final Map<String, Integer> known = new HashMap<>();
    private final Set<String> open = new HashSet<>();

    StackDepth(List<byte[]> classFiles) {
        for (byte[] file : classFiles) {
            ClassNode type = new ClassNode();
            new ClassReader(file).accept(type, ClassReader.SKIP_DEBUG);
            parents.put(type.name, type.superName);
            type.methods.forEach(method -> enter(type, method));
        }
    }

    private void enter(ClassNode type, MethodNode method) {
        List<String> calls = new ArrayList<>();
        for (AbstractInsnNode insn : method.instructions) {
            if (insn instanceof MethodInsnNode call) {
                calls.add(call.owner + "." + call.name + call.desc);
            }
        }
        int args = Type.getArgumentTypes(method.desc).length + ((method.access & Opcodes.ACC_STATIC) == 0 ? 1 : 0);
        methods.put(type.name + "." + method.name + method.desc,
            new Method(args, method.maxLocals + method.maxStack + FRAME, calls));
    }

    /** Stack bytes used by this method and everything it calls. `name` is `package/Class.method(descriptor)`. */
    int bytes(String name) {
        if (!methods.containsKey(name)) {
            throw new IllegalArgumentException("no method " + name);
        }
        return WORD * words(name);
    }

    private int words(String name) {
        Integer before = known.get(name);
        if (before != null) {
            return before;
        }
        if (!open.add(name)) {
            throw new IllegalStateException(name + " is recursive: no depth is the worst");
        }
        Method method = methods.get(name);
        int deepest = 0;
        for (String call : method.calls) {
            String target = resolve(call);
            if (target != null) {
                deepest = Math.max(deepest, words(target) - methods.get(target).args);
            }
        }
        open.remove(name);
        known.put(name, method.own + deepest);
        return method.own + deepest;
    }

    /** Resolves a method in its class or a superclass; null if it belongs to the platform. */
    private String resolve(String call) {
        int dot = call.indexOf('.');
        for (String type = call.substring(0, dot); type != null; type = parents.get(type)) {
            String name = type + call.substring(dot);
            if (methods.containsKey(name)) {
                return name;
            }
        }
        return null;
    }
}
