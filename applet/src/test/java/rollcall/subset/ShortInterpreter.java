package rollcall.subset;

import java.util.List;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.IntInsnNode;
import org.objectweb.asm.tree.InsnNode;
import org.objectweb.asm.tree.LdcInsnNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.analysis.AnalyzerException;
import org.objectweb.asm.tree.analysis.BasicInterpreter;
import org.objectweb.asm.tree.analysis.BasicValue;

/**
  * Tracks which numbers are known to fit 16 bits. Java computes intermediate results with int, a card without int with
  * short. Both agree as long as a result that may be wider is narrowed (i2s, i2b) before anything but further addition,
  * multiplication or bit logic uses it.
 */
final class ShortInterpreter extends BasicInterpreter {

    /** A value that may need more than 16 bits. */
    private static final BasicValue WIDE = new Wide();

    /** Where frames merge, the result is wide if either value is. */
    private static final class Wide extends BasicValue {
        Wide() {
            super(Type.INT_TYPE);
        }

        @Override
        public boolean equals(Object other) {
            return this == other;
        }

        @Override
        public int hashCode() {
            return 1;
        }
    }

    ShortInterpreter() {
        super(Opcodes.ASM9);
    }

    private static BasicValue constant(int value) {
        return value == (short) value ? BasicValue.INT_VALUE : WIDE;
    }

    @Override
    public BasicValue newOperation(AbstractInsnNode insn) throws AnalyzerException {
        if (insn instanceof IntInsnNode number && insn.getOpcode() == Opcodes.SIPUSH) {
            return constant(number.operand);
        }
        if (insn instanceof LdcInsnNode ldc && ldc.cst instanceof Integer value) {
            return constant(value);
        }
        return super.newOperation(insn);
    }

    @Override
    public BasicValue copyOperation(AbstractInsnNode insn, BasicValue value) throws AnalyzerException {
        if (insn.getOpcode() == Opcodes.ISTORE) {
            requireNarrow(insn, value);
        }
        return super.copyOperation(insn, value);
    }

    @Override
    public BasicValue unaryOperation(AbstractInsnNode insn, BasicValue value) throws AnalyzerException {
        switch (insn.getOpcode()) {
            case Opcodes.INEG:
                return WIDE;
            case Opcodes.I2B:
            case Opcodes.I2S:
                return BasicValue.INT_VALUE;
            default:
                requireNarrow(insn, value);
                return super.unaryOperation(insn, value);
        }
    }

    @Override
    public BasicValue binaryOperation(AbstractInsnNode insn, BasicValue a, BasicValue b) throws AnalyzerException {
        switch (insn.getOpcode()) {
            case Opcodes.IADD:
            case Opcodes.ISUB:
            case Opcodes.IMUL:
                return WIDE;
            case Opcodes.ISHL:
                requireNarrow(insn, b);
                return WIDE;
            case Opcodes.IAND:
            case Opcodes.IOR:
            case Opcodes.IXOR:
                return a == WIDE || b == WIDE ? WIDE : BasicValue.INT_VALUE;
            case Opcodes.IUSHR:
                requireNarrow(insn, a);
                requireNarrow(insn, b);
                return WIDE;
            default:
                requireNarrow(insn, a);
                requireNarrow(insn, b);
                return super.binaryOperation(insn, a, b);
        }
    }

    @Override
    public BasicValue ternaryOperation(AbstractInsnNode insn, BasicValue array, BasicValue index, BasicValue value)
        throws AnalyzerException {
        requireNarrow(insn, index);
        requireNarrow(insn, value);
        return super.ternaryOperation(insn, array, index, value);
    }

    @Override
    public BasicValue naryOperation(AbstractInsnNode insn, List<? extends BasicValue> values) throws AnalyzerException {
        for (BasicValue value : values) {
            requireNarrow(insn, value);
        }
        return insn instanceof MethodInsnNode ? super.naryOperation(insn, values) : BasicValue.REFERENCE_VALUE;
    }

    @Override
    public void returnOperation(AbstractInsnNode insn, BasicValue value, BasicValue expected)
        throws AnalyzerException {
        requireNarrow(insn, value);
    }

    @Override
    public BasicValue merge(BasicValue a, BasicValue b) {
        return (a == WIDE || b == WIDE) && isInt(a) && isInt(b) ? WIDE : super.merge(a, b);
    }

    private static boolean isInt(BasicValue value) {
        return value == WIDE || value == BasicValue.INT_VALUE;
    }

    private static void requireNarrow(AbstractInsnNode insn, BasicValue value) throws AnalyzerException {
        if (value == WIDE) {
            String what = insn instanceof InsnNode ? "" : " " + insn.getClass().getSimpleName();
            throw new AnalyzerException(insn, "a result that may need int is used before it is narrowed, opcode "
                + insn.getOpcode() + what);
        }
    }
}
