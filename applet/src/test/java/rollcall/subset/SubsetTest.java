package rollcall.subset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.RandomData;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The applet stays within JavaCard Classic 3.0.4 without int, and the checker catches code that does not. */
class SubsetTest {

    private static final Path CLASSES = Path.of("target/classes/rollcall/applet");

    @Test
    void appletIsWithin() throws IOException {
        List<Path> files;
        try (Stream<Path> listed = Files.list(CLASSES)) {
            files = listed.filter(file -> file.toString().endsWith(".class")).sorted().toList();
        }
        assertTrue(files.size() > 20, files.toString());
        for (Path file : files) {
            assertEquals(List.of(), SubsetChecker.check(Files.readAllBytes(file)), file.toString());
        }
    }

    @ParameterizedTest
    @ValueSource(classes = {IntField.class, IntLocal.class, IntArgument.class, LongResult.class, DoubleConstant.class,
        TextConstant.class, Lambda.class, ArrayOfArrays.class, IntArray.class, ForeignClass.class, LaterApi.class,
        LateAllocation.class, LateTransient.class, WideShift.class, WideComparison.class, WideIndex.class,
        WideArgument.class, FieldWrite.class, Synchronized.class, Kind.class, OrderBySign.class, SignKept.class,
        SignReturned.class, GrowsTwice.class, GrowsElsewhere.class, GrowsAnother.class, ReferenceWrite.class})
    void badSampleIsRefused(Class<?> sample) throws IOException {
        String name = sample.getName().substring(sample.getPackageName().length() + 1) + ".class";
        try (InputStream in = sample.getResourceAsStream(name)) {
            assertFalse(SubsetChecker.check(in.readAllBytes()).isEmpty(), name);
        }
    }

    @Test
    void orderBySignIsRefusedForItself() throws IOException {
        try (InputStream in = OrderBySign.class.getResourceAsStream("SubsetTest$OrderBySign.class")) {
            List<String> faults = SubsetChecker.check(in.readAllBytes());
            assertEquals(1, faults.size(), faults.toString());
            assertTrue(faults.get(0).contains("the sign of arrayCompare"), faults.toString());
        }
    }

    @Test
    void goodSampleIsNot() throws IOException {
        for (String name : List.of("SubsetTest$Good.class", "SubsetTest$Grows.class")) {
            try (InputStream in = Good.class.getResourceAsStream(name)) {
                assertEquals(List.of(), SubsetChecker.check(in.readAllBytes()), name);
            }
        }
    }

    static final class Good {
        short sum(byte[] b, short offset) {
            short total = 0;
            for (short i = 0; i < (short) b.length; i++) {
                total = (short) (total + (b[(short) (offset + i)] & 0xFF));
            }
            return (short) ((short) (total + 1) >> 1);
        }

        boolean same(byte[] a, byte[] b) {
            return a.length == b.length && Util.arrayCompare(a, (short) 0, b, (short) 0, (short) a.length) == 0;
        }
    }

    /** Allocates at the first command only, step by step. */
    static final class Grows {
        private byte[] made;
        private byte[] more;

        void process() {
            if (more == null) {
                grow();
            }
        }

        private void grow() {
            if (made == null) {
                made = new byte[2];
            }
            growRest();
        }

        private void growRest() {
            if (more == null) {
                more = new byte[3];
            }
        }
    }

    static final class GrowsTwice {
        private byte[] made;

        void process() {
            grow();
        }

        private void grow() {
            made = new byte[2];
        }
    }

    static final class GrowsElsewhere {
        private byte[] made;

        void deselect() {
            grow();
        }

        private void grow() {
            if (made == null) {
                made = new byte[2];
            }
        }
    }

    static final class GrowsAnother {
        private byte[] made;
        private byte[] more;

        void process() {
            grow();
        }

        private void grow() {
            if (made == null) {
                made = new byte[2];
            }
            more = new byte[2];
        }
    }

    /** The mistake made in the manifest of 0.1.0. */
    static final class OrderBySign {
        short bad(byte[] a, byte[] b) {
            return Util.arrayCompare(a, (short) 0, b, (short) 0, (short) 3) <= 0 ? (short) 1 : (short) 2;
        }
    }

    static final class SignKept {
        boolean bad(byte[] a, byte[] b) {
            short order = Util.arrayCompare(a, (short) 0, b, (short) 0, (short) 3);
            return order == 0;
        }
    }

    static final class SignReturned {
        byte bad(byte[] a, byte[] b) {
            return Util.arrayCompare(a, (short) 0, b, (short) 0, (short) 3);
        }
    }

    static final class IntField {
        int field;
    }

    static final class IntLocal {
        short bad(short a) {
            int wide = a + a;
            return (short) wide;
        }
    }

    static final class IntArgument {
        void bad(int a) {
        }
    }

    static final class LongResult {
        long bad() {
            return 1;
        }
    }

    static final class DoubleConstant {
        short bad() {
            return (short) (Math.abs(-1.5) > 1 ? 1 : 0);
        }
    }

    static final class TextConstant {
        Object bad() {
            return "text";
        }
    }

    static final class Lambda {
        Object bad() {
            Runnable runnable = () -> { };
            return runnable;
        }
    }

    static final class ArrayOfArrays {
        final byte[][] bad = new byte[2][2];
    }

    static final class IntArray {
        final Object bad = new int[2];
    }

    static final class ForeignClass {
        Object bad() {
            return java.util.Collections.EMPTY_LIST;
        }
    }

    static final class LaterApi {
        void bad(RandomData random, byte[] b) {
            random.nextBytes(b, (short) 0, (short) 1);
        }
    }

    static final class LateAllocation {
        byte[] bad() {
            return new byte[2];
        }
    }

    static final class LateTransient {
        byte[] bad() {
            return JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_RESET);
        }
    }

    static final class WideShift {
        short bad(short a) {
            return (short) ((a + a) >> 1);
        }
    }

    static final class WideComparison {
        boolean bad(short a) {
            return a + a > 0;
        }
    }

    static final class WideIndex {
        byte bad(byte[] b, short a) {
            return b[a + 1];
        }
    }

    static final class WideArgument {
        void bad(short a) {
            take(a * 2);
        }

        private void take(int a) {
        }
    }

    static final class FieldWrite {
        private short count;

        void bad() {
            count = 1;
        }
    }

    static final class ReferenceWrite {
        void bad(Object[] keys, Object other) {
            keys[0] = other;
        }
    }

    static final class Synchronized {
        void bad() {
            synchronized (this) {
                hashCode();
            }
        }
    }

    enum Kind { BAD }
}
