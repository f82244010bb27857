package rollcall.platform;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Loads an applet's classes instrumented, so that every call they make, to each other and to the platform, is logged.
 */
public final class CallLog extends ClassLoader {

    private static final List<String> CALLS = new ArrayList<>();
    private final String prefix;

    /** @param prefix of the names of the classes to instrument, with its final dot */
    public CallLog(String prefix) {
        super(CallLog.class.getClassLoader());
        this.prefix = prefix;
    }

    /** Called by the instrumented code before each call. */
    public static void call(String what) {
        CALLS.add(what);
    }

    /** The calls since the last take(). */
    public static List<String> take() {
        List<String> taken = List.copyOf(CALLS);
        CALLS.clear();
        return taken;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (!name.startsWith(prefix)) {
            return super.loadClass(name, resolve);
        }
        synchronized (getClassLoadingLock(name)) {
            Class<?> loaded = findLoadedClass(name);
            return loaded != null ? loaded : define(name);
        }
    }

    private Class<?> define(String name) throws ClassNotFoundException {
        try (InputStream in = getResourceAsStream(name.replace('.', '/') + ".class")) {
            ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
            new ClassReader(in.readAllBytes()).accept(new Instrumented(writer), 0);
            byte[] code = writer.toByteArray();
            return defineClass(name, code, 0, code.length);
        } catch (IOException e) {
            throw new ClassNotFoundException(name, e);
        }
    }

    private static final class Instrumented extends ClassVisitor {

        Instrumented(ClassWriter writer) {
            super(Opcodes.ASM9, writer);
        }

        @Override
        public MethodVisitor visitMethod(int access, String method, String descriptor, String signature, String[] thrown) {
            return new MethodVisitor(api, super.visitMethod(access, method, descriptor, signature, thrown)) {
                @Override
                public void visitMethodInsn(int opcode, String owner, String name, String type, boolean isInterface) {
                    super.visitLdcInsn(owner + "." + name + type);
                    super.visitMethodInsn(Opcodes.INVOKESTATIC, "rollcall/platform/CallLog", "call",
                        "(Ljava/lang/String;)V", false);
                    super.visitMethodInsn(opcode, owner, name, type, isInterface);
                }
            };
        }
    }
}
