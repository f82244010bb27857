#!/usr/bin/env bash
# jCardSim: the classes of javacardx.framework.math, .tlv, .string and .util.intx.
#
# Versions:  com.klinec:jcardsim 3.0.6.0 (Maven Central), a JDK (seen with 17)
# Guess:     these optional packages of the Java Card API 3.0.5 work, or they raise an exception or cannot be loaded where the
#            simulator has none of them. None returns as if it had done its work.
# Seen:      the classes are there, and of the eleven things asked of them ten do nothing, without an exception: BigNumber
#            stays 0 through init and add, takes 2 from 1 without the ArithmeticException of the API, and finds 80 and 7F
#            equal; BCDUtil finds no number in BCD and converts to nothing; ParityBit.set leaves the bytes; BERTLV.getInstance
#            gives null; two different strings compare as equal. Only JCint.setInt fails, with UnsatisfiedLinkError.
# So:        a purse on BigNumber pays out any amount in the simulator and never has a balance. Test such an applet on a card, or
#            bring your own arithmetic: that the applet ran without an exception says nothing.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
mvn -q -B dependency:copy -Dartifact=com.klinec:jcardsim:3.0.6.0 -DoutputDirectory="$work" -Dmdep.stripVersion=true >/dev/null 2>&1 ||
    cannot "com.klinec:jcardsim:3.0.6.0 cannot be fetched (mvn)"

cat > Idle.java <<'JAVA'
import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.utils.AIDUtil;
import java.util.HexFormat;
import javacard.framework.*;
import javacardx.framework.math.*;
import javacardx.framework.string.StringUtil;
import javacardx.framework.tlv.BERTLV;
import javacardx.framework.util.intx.JCint;

/** One command: asks each package and prints what it gave. */
public class Idle extends Applet {
    interface Question { Object ask() throws Exception; }

    static final short ZERO = 0, ONE = 1;

    public static void install(byte[] b, short o, byte l) { new Idle().register(); }

    static byte[] bytes(String digits) { return HexFormat.of().parseHex(digits); }

    static void say(String name, Question question) {
        Object answer;
        try {
            answer = question.ask();
        } catch (Throwable thrown) {
            answer = thrown.getClass().getSimpleName();
        }
        System.out.println(name + ": " + (answer instanceof byte[] ? HexFormat.of().formatHex((byte[]) answer) : answer));
    }

    static BigNumber number(String digits) throws Exception {
        BigNumber number = new BigNumber((short) 4);
        number.init(bytes(digits), ZERO, (short) (digits.length() / 2), BigNumber.FORMAT_HEX);
        return number;
    }

    static byte[] value(BigNumber number) throws Exception {
        byte[] out = new byte[4];
        number.toBytes(out, ZERO, (short) 4, BigNumber.FORMAT_HEX);
        return out;
    }

    public void process(APDU apdu) {
        if (selectingApplet()) { return; }
        say("FF", () -> value(number("FF")));
        say("FF + 02", () -> {
            BigNumber sum = number("FF");
            sum.add(bytes("02"), ZERO, ONE, BigNumber.FORMAT_HEX);
            return value(sum);
        });
        say("01 - 02", () -> {
            BigNumber rest = number("01");
            rest.subtract(bytes("02"), ZERO, ONE, BigNumber.FORMAT_HEX);
            return value(rest);
        });
        say("80 compared with 7F", () -> number("80").compareTo(bytes("7F"), ZERO, ONE, BigNumber.FORMAT_HEX));
        say("1234 is BCD", () -> BCDUtil.isBCDFormat(bytes("1234"), ZERO, (short) 2));
        say("BCD 0256 to hexadecimal", () -> {
            byte[] out = new byte[2];
            return BCDUtil.convertToHex(bytes("0256"), ZERO, (short) 2, out, ZERO) + " bytes, " + HexFormat.of().formatHex(out);
        });
        say("even parity of 0110", () -> {
            byte[] out = bytes("0110");
            ParityBit.set(out, ZERO, (short) 2, true);
            return out;
        });
        say("BER-TLV 5F2D02656E", () -> BERTLV.getInstance(bytes("5F2D02656E"), ZERO, (short) 5));
        say("abc compared with abd", () -> {
            return StringUtil.compare(false, bytes("616263"), ZERO, (short) 3, bytes("616264"), ZERO, (short) 3);
        });
        say("int of 01020304", () -> JCint.getInt(bytes("01020304"), ZERO));
        say("01020304 to bytes", () -> {
            byte[] out = new byte[4];
            JCint.setInt(out, ZERO, 0x01020304);
            return out;
        });
    }

    public static void main(String[] none) {
        Simulator card = new Simulator();
        AID aid = AIDUtil.create("F046494E44");
        card.installApplet(aid, Idle.class);
        card.selectApplet(aid);
        System.out.println(HexFormat.of().formatHex(card.transmitCommand(new byte[4])));
    }
}
JAVA
javac -nowarn -cp jcardsim.jar Idle.java 2>/dev/null || cannot "javac"
seen=$(java -cp jcardsim.jar:. Idle 2>&1) || cannot "java"
printf '%s\n' "$seen"
expected='FF: 00000000
FF + 02: 00000000
01 - 02: 00000000
80 compared with 7F: 0
1234 is BCD: false
BCD 0256 to hexadecimal: 0 bytes, 0000
even parity of 0110: 0110
BER-TLV 5F2D02656E: null
abc compared with abd: 0
int of 01020304: 0
01020304 to bytes: UnsatisfiedLinkError
9000'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
