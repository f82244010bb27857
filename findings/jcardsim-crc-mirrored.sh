#!/usr/bin/env bash
# jCardSim: Checksum.ALG_ISO3309_CRC16 and ALG_ISO3309_CRC32.
#
# Versions:  com.klinec:jcardsim 3.0.6.0 (Maven Central), a JDK (seen with 17)
# Guess:     of "123456789", begun with FFFF, CRC16 is the frame check sequence of ISO/IEC 13239 (906E, CRC-16/X-25), perhaps
#            without its final complement (6F91); begun with FFFFFFFF, CRC32 is CBF43926 or its complement 340BC6D9.
# Seen:      D64E (CRC-16/GENIBUS) and FC891918 (CRC-32/BZIP2): the bits of each byte go in from the other end. Begun with
#            the default of zero: CE3C and 765E7680, which is what POSIX cksum makes of the bytes without their length.
# So:        a checksum that an applet gives in the simulator is not the one that a reader of frames (HDLC, NFC-A's CRC_B)
#            computes; compare with a card before you rely on either.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
mvn -q -B dependency:copy -Dartifact=com.klinec:jcardsim:3.0.6.0 -DoutputDirectory="$work" -Dmdep.stripVersion=true >/dev/null 2>&1 ||
    cannot "com.klinec:jcardsim:3.0.6.0 cannot be fetched (mvn)"

cat > Sums.java <<'JAVA'
import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.utils.AIDUtil;
import java.util.Arrays;
import java.util.HexFormat;
import javacard.framework.*;
import javacard.security.Checksum;

/** P1: the algorithm; P2: the byte to begin with, 1 for the default; answers the checksum of the data. */
public class Sums extends Applet {
    public static void install(byte[] b, short o, byte l) { new Sums().register(); }

    public void process(APDU apdu) {
        if (selectingApplet()) { return; }
        byte[] b = apdu.getBuffer();
        short n = apdu.setIncomingAndReceive();
        Checksum sum = Checksum.getInstance(b[2], false);
        if (b[3] != 1) {
            byte[] begin = new byte[b[2] == Checksum.ALG_ISO3309_CRC16 ? 2 : 4];
            Arrays.fill(begin, b[3]);
            sum.init(begin, (short) 0, (short) begin.length);
        }
        n = sum.doFinal(b, ISO7816.OFFSET_CDATA, n, b, (short) 0);
        apdu.setOutgoingAndSend((short) 0, n);
    }

    public static void main(String[] none) {
        Simulator card = new Simulator();
        AID aid = AIDUtil.create("F046494E44");
        card.installApplet(aid, Sums.class);
        card.selectApplet(aid);
        byte[] command = HexFormat.of().parseHex("000000000931323334353637383900");
        for (byte algorithm : new byte[] {Checksum.ALG_ISO3309_CRC16, Checksum.ALG_ISO3309_CRC32}) {
            for (byte begin : new byte[] {1, -1}) {
                command[2] = algorithm;
                command[3] = begin;
                byte[] answer = card.transmitCommand(command);
                System.out.println(algorithm + " " + begin + " " + HexFormat.of().formatHex(answer));
            }
        }
    }
}
JAVA
javac -nowarn -cp jcardsim.jar Sums.java 2>/dev/null || cannot "javac"
seen=$(java -cp jcardsim.jar:. Sums) || cannot "java"
printf '%s\n' "$seen"
expected=$'1 1 ce3c9000\n1 -1 d64e9000\n2 1 765e76809000\n2 -1 fc8919189000'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
