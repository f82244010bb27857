package rollcall.subset;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.FieldInsnNode;
import org.objectweb.asm.tree.FieldNode;
import org.objectweb.asm.tree.FrameNode;
import org.objectweb.asm.tree.IntInsnNode;
import org.objectweb.asm.tree.JumpInsnNode;
import org.objectweb.asm.tree.LdcInsnNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;
import org.objectweb.asm.tree.TypeInsnNode;
import org.objectweb.asm.tree.analysis.Analyzer;
import org.objectweb.asm.tree.analysis.AnalyzerException;

/**
  * Rejects class files that a JavaCard Classic 3.0.4 virtual machine without int cannot run, that allocate or write a
  * field outside the installation, or that order bytes with Util.arrayCompare. The simulator runs on a full virtual
  * machine and would not notice.
 */
public final class SubsetChecker {

    /** The classes of java.lang on a card: JCRE API 3.0.4, package java.lang. */
    private static final Set<String> LANG = Set.of("java/lang/Object", "java/lang/Throwable", "java/lang/Exception",
        "java/lang/RuntimeException", "java/lang/ArithmeticException", "java/lang/ArrayIndexOutOfBoundsException",
        "java/lang/ArrayStoreException", "java/lang/ClassCastException", "java/lang/IndexOutOfBoundsException",
        "java/lang/NegativeArraySizeException", "java/lang/NullPointerException", "java/lang/SecurityException");

    private static final Set<Integer> OPCODES = Set.of(Opcodes.IINC, Opcodes.INVOKEDYNAMIC, Opcodes.MULTIANEWARRAY,
        Opcodes.MONITORENTER, Opcodes.MONITOREXIT, Opcodes.LCMP, Opcodes.FCMPL, Opcodes.FCMPG, Opcodes.DCMPL,
        Opcodes.DCMPG, Opcodes.I2L, Opcodes.I2F, Opcodes.I2D, Opcodes.I2C, Opcodes.IALOAD, Opcodes.IASTORE,
        Opcodes.LALOAD, Opcodes.LASTORE, Opcodes.CALOAD, Opcodes.CASTORE, Opcodes.FALOAD, Opcodes.FASTORE,
        Opcodes.DALOAD, Opcodes.DASTORE, Opcodes.LLOAD, Opcodes.LSTORE, Opcodes.FLOAD, Opcodes.FSTORE,
        Opcodes.DLOAD, Opcodes.DSTORE);

    /** Calls that create an object, allowed only during installation. */
    private static final Set<String> ALLOCATIONS = Set.of("makeTransientByteArray", "makeTransientShortArray",
        "makeTransientBooleanArray", "makeTransientObjectArray", "buildKey", "getInstance");

    /**
      * The method that creates what the installation left out, object by object: only process and grow itself may call
      * it, and it, or a private method called only by it, may write a field only after finding it null.
     */
    private static final String GROW = "grow";

    private final String ownPackage;
    private final List<String> faults = new ArrayList<>();
    private final Set<String> installers = new HashSet<>();
    private ClassNode type;
    private MethodNode method;

    private SubsetChecker(String ownPackage) {
        this.ownPackage = ownPackage;
    }

    public static List<String> check(byte[] classFile) {
        ClassNode type = new ClassNode();
        new ClassReader(classFile).accept(type, 0);
        SubsetChecker checker = new SubsetChecker(type.name.substring(0, type.name.lastIndexOf('/') + 1));
        checker.checkClass(type);
        return checker.faults;
    }

    private void fault(String what) {
        faults.add(type.name + (method == null ? "" : "." + method.name) + ": " + what);
    }

    private void checkClass(ClassNode node) {
        type = node;
        findInstallers();
        if ((node.access & Opcodes.ACC_ENUM) != 0) {
            fault("an enum");
        }
        checkName(node.superName);
        node.interfaces.forEach(this::checkName);
        for (FieldNode field : node.fields) {
            checkType(Type.getType(field.desc));
        }
        for (MethodNode each : node.methods) {
            method = each;
            checkMethod();
        }
    }

    private void checkMethod() {
        checkDescriptor(method.desc);
        method.exceptions.forEach(this::checkName);
        method.tryCatchBlocks.forEach(block -> {
            if (block.type == null) {
                return;
            }
            checkName(block.type);
        });
        for (AbstractInsnNode insn : method.instructions) {
            checkInstruction(insn);
        }
        try {
            new Analyzer<>(new ShortInterpreter()).analyze(type.name, method);
        } catch (AnalyzerException wide) {
            fault(wide.getMessage());
        }
    }

    private void checkInstruction(AbstractInsnNode insn) {
        if (OPCODES.contains(insn.getOpcode())) {
            fault("opcode " + insn.getOpcode());
        }
        if (insn.getOpcode() == Opcodes.AASTORE && !installers.contains(method.name)) {
            fault("writes a reference, which is persistent, into an array outside the installation");
        }
        if (insn instanceof LdcInsnNode ldc && !(ldc.cst instanceof Integer)) {
            fault("constant " + ldc.cst.getClass().getSimpleName());
        } else if (insn instanceof MethodInsnNode call) {
            checkCall(call);
        } else if (insn instanceof FieldInsnNode field) {
            checkField(field);
        } else if (insn instanceof TypeInsnNode typed) {
            checkTyped(typed);
        } else if (insn instanceof IntInsnNode array && array.getOpcode() == Opcodes.NEWARRAY) {
            checkNewArray(array.operand);
        }
    }

    private void checkCall(MethodInsnNode call) {
        checkName(call.owner);
        checkDescriptor(call.desc);
        if (call.owner.startsWith("javacard") && !Api304.METHODS.contains(call.owner + "." + call.name)) {
            fault(call.owner + "." + call.name + " is not known to be in the API 3.0.4");
        }
        if (ALLOCATIONS.contains(call.name) && call.owner.startsWith("javacard")) {
            requireInstallation(call.name);
        }
        boolean growing = method.name.equals(GROW) || method.name.equals("process");
        if (call.name.equals(GROW) && call.owner.startsWith(ownPackage) && !growing) {
            fault("builds the token elsewhere than at the first command");
        }
        if (call.name.equals("arrayCompare") && !isForEquality(call)) {
            fault("takes the sign of arrayCompare, whose bytes are signed on one card and unsigned on another");
        }
    }

    /** Whether the result is used only in a comparison with zero, equal or not equal. */
    private static boolean isForEquality(MethodInsnNode call) {
        AbstractInsnNode next = call.getNext();
        while (next != null && next.getOpcode() < 0) {
            next = next.getNext();
        }
        return next != null && (next.getOpcode() == Opcodes.IFEQ || next.getOpcode() == Opcodes.IFNE);
    }

    private void checkField(FieldInsnNode field) {
        checkName(field.owner);
        checkType(Type.getType(field.desc));
        boolean writes = field.getOpcode() == Opcodes.PUTFIELD || field.getOpcode() == Opcodes.PUTSTATIC;
        boolean grows = installers.contains(method.name) && !method.name.equals("install") && isGuarded(field);
        if (writes && !method.name.equals("<init>") && !method.name.equals("<clinit>") && !grows) {
            fault("writes the field " + field.name + ", which is persistent, past the one class that may");
        }
    }

    /** Whether the last branch before this write tests the same field for null, and the write is on the null path. */
    private static boolean isGuarded(FieldInsnNode write) {
        for (AbstractInsnNode at = write.getPrevious(); at != null; at = at.getPrevious()) {
            // A frame marks a place where branches meet, so nothing is known about earlier tests.
            if (at instanceof FrameNode) {
                return false;
            }
            if (at instanceof JumpInsnNode branch) {
                AbstractInsnNode read = branch.getPrevious();
                return branch.getOpcode() == Opcodes.IFNONNULL
                    && read instanceof FieldInsnNode field && field.getOpcode() == Opcodes.GETFIELD
                    && field.name.equals(write.name) && field.owner.equals(write.owner);
            }
        }
        return false;
    }

    private void checkTyped(TypeInsnNode typed) {
        checkType(Type.getObjectType(typed.desc));
        if (typed.getOpcode() == Opcodes.NEW || typed.getOpcode() == Opcodes.ANEWARRAY) {
            requireInstallation("new " + typed.desc);
            if (typed.desc.startsWith("[")) {
                fault("an array of arrays");
            }
        }
    }

    private void checkNewArray(int element) {
        if (element != Opcodes.T_BYTE && element != Opcodes.T_SHORT && element != Opcodes.T_BOOLEAN) {
            fault("an array of type " + element);
        }
        requireInstallation("an array");
    }

    private void requireInstallation(String what) {
        if (!installers.contains(method.name)) {
            fault("allocates outside the installation: " + what);
        }
    }

    /**
      * Collects the methods allowed to allocate: constructors, install, constant arrays, grow (called by the first
      * command, see {@link #GROW}), and private methods called only by these.
     */
    private void findInstallers() {
        installers.addAll(Set.of("<init>", "<clinit>", "install", GROW));
        boolean found = true;
        while (found) {
            found = false;
            for (MethodNode each : type.methods) {
                boolean isPrivate = (each.access & Opcodes.ACC_PRIVATE) != 0;
                found |= isPrivate && installers.containsAll(callers(each.name)) && installers.add(each.name);
            }
        }
    }

    private Set<String> callers(String name) {
        Set<String> callers = new HashSet<>();
        for (MethodNode each : type.methods) {
            for (AbstractInsnNode insn : each.instructions) {
                if (insn instanceof MethodInsnNode call && call.owner.equals(type.name) && call.name.equals(name)) {
                    callers.add(each.name);
                }
            }
        }
        return callers;
    }

    private void checkDescriptor(String descriptor) {
        for (Type argument : Type.getArgumentTypes(descriptor)) {
            checkType(argument);
        }
        checkType(Type.getReturnType(descriptor));
    }

    private void checkType(Type checked) {
        switch (checked.getSort()) {
            case Type.VOID:
            case Type.BOOLEAN:
            case Type.BYTE:
            case Type.SHORT:
                return;
            case Type.OBJECT:
                checkName(checked.getInternalName());
                return;
            case Type.ARRAY:
                if (checked.getDimensions() > 1) {
                    fault("an array of arrays");
                }
                checkType(checked.getElementType());
                return;
            default:
                fault("the type " + checked.getClassName());
        }
    }

    private void checkName(String name) {
        if (name.startsWith("[")) {
            checkType(Type.getType(name));
            return;
        }
        boolean own = name.startsWith(ownPackage) && name.indexOf('/', ownPackage.length()) < 0;
        if (!own && !LANG.contains(name) && !Api304.TYPES.contains(name)) {
            fault("the class " + name);
        }
    }
}
