#!/usr/bin/env bash
# Eclipse Keyple's ApduUtil: isCase4, by which Keyple's readers decide whether to fetch an answer with GET RESPONSE, and build.
#
# Versions:  org.eclipse.keyple:keyple-util-java-lib 2.4.0 (Maven Central), a JDK (seen with 17)
# Input:     every short command of the cases 2, 3 and 4: Le 00 to FF, and Lc 01 to FF with so many bytes. ISO/IEC 7816-4:2005,
#            5.1: a short Lc field is one byte from 01 to FF, that is 1 to 255.
# Guess:     isCase4 says true for the 255 lengths of case 4 and false for the rest; build writes 256 bytes of data in the
#            extended form, or refuses them.
# Seen:      isCase4 says true for 127 of the 255, and for one command of case 2, that with Le FF: it compares Lc as a number
#            with a sign. build writes 256 bytes behind an Lc of 00 and 257 behind one of 01, without an exception.
# So:        where the answer to a command of case 4 is 9000 alone, as over T=0, Keyple (keyple-service-java-lib 2.2.0,
#            LocalReaderAdapter) fetches the data with GET RESPONSE if isCase4 says so. Behind 128 bytes or more, a certificate
#            for instance, it does not, and the application gets no data and a good status word. Keep such commands below 128
#            bytes, or take 9000 without the data that must come for an error.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
artifact=org.eclipse.keyple:keyple-util-java-lib:2.4.0
mvn -q -B dependency:copy -Dartifact="$artifact" -DoutputDirectory="$work" -Dmdep.stripVersion=true >/dev/null 2>&1 ||
    cannot "$artifact cannot be fetched (mvn)"

cat > Cases.java <<'JAVA'
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.eclipse.keyple.core.util.ApduUtil;

public class Cases {
    /** For how many of the lengths isCase4 is true, and from which to which. */
    static void say(String name, int first, int last, boolean data, boolean le) {
        List<Integer> yes = new ArrayList<>();
        for (int n = first; n <= last; n++) {
            byte[] command = new byte[4 + (data ? 1 + n : 0) + (le ? 1 : 0)];
            command[1] = (byte) 0xB0;
            command[4] = (byte) n;
            if (ApduUtil.isCase4(command)) { yes.add(n); }
        }
        String range = yes.isEmpty() ? "" : String.format(", from %02X to %02X", yes.get(0), yes.get(yes.size() - 1));
        System.out.println(name + ": isCase4 is true for " + yes.size() + range);
    }

    public static void main(String[] none) {
        say("case 2, Le 00 to FF", 0, 255, false, true);
        say("case 3, Lc 01 to FF", 1, 255, true, false);
        say("case 4, Lc 01 to FF", 1, 255, true, true);
        for (int n : new int[] {255, 256, 257}) {
            byte[] command = ApduUtil.build((byte) 0, (byte) 0xD6, (byte) 0, (byte) 0, new byte[n], null);
            System.out.println("built of " + n + " bytes: " + HexFormat.of().withUpperCase().formatHex(command, 0, 7) + ".., " +
                command.length + " in all");
        }
    }
}
JAVA
javac -nowarn -cp keyple-util-java-lib.jar Cases.java 2>/dev/null || cannot "javac"
seen=$(java -cp keyple-util-java-lib.jar:. Cases 2>&1) || cannot "java"
printf '%s\n' "$seen"
expected='case 2, Le 00 to FF: isCase4 is true for 1, from FF to FF
case 3, Lc 01 to FF: isCase4 is true for 0
case 4, Lc 01 to FF: isCase4 is true for 127, from 01 to 7F
built of 255 bytes: 00D60000FF0000.., 260 in all
built of 256 bytes: 00D60000000000.., 261 in all
built of 257 bytes: 00D60000010000.., 262 in all'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
