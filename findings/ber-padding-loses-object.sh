#!/usr/bin/env bash
# BER-TLV readers and the 00 bytes that may stand between data objects.
#
# Versions:  com.payneteasy:ber-tlv 1.0-11 (Maven Central), node-tlv 1.5.14 (npm), and ber-tlv 0.9.2 (npm) beside them;
#            a JDK (seen with 17), Node.js (seen with 20)
# Input:     80 01 AA  00  81 01 BB. ISO/IEC 7816-4:2005, 5.2.2, and EMV Book 3, annex B1: 00 bytes without meaning may
#            stand before, between and after data objects, for instance where one was erased.
# Guess:     each library skips the byte or raises an error; none loses the object 81.
# Seen:      the first two take 00 for a tag and 81 for a length in long form: they report an object 00 with the value BB,
#            no object 81, and no error. With two padding bytes all three find 81. The third skips one byte and two.
# So:        a single erased byte on a card makes the next object vanish in silence: ask for the objects that must be there,
#            and never read what a card sent with a reader that does not refuse tag 00.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
mvn -q -B dependency:copy -Dartifact=com.payneteasy:ber-tlv:1.0-11 -DoutputDirectory="$work" >/dev/null 2>&1 ||
    cannot "com.payneteasy:ber-tlv:1.0-11 cannot be fetched (mvn)"
npm install --silent --no-audit --no-fund --ignore-scripts node-tlv@1.5.14 ber-tlv@0.9.2 >/dev/null 2>&1 ||
    cannot "node-tlv and ber-tlv cannot be fetched (npm)"

cat > Read.java <<'JAVA'
import com.payneteasy.tlv.*;
import java.util.HexFormat;

public class Read {
    public static void main(String[] inputs) {
        for (String input : inputs) {
            byte[] bytes = HexFormat.of().parseHex(input);
            StringBuilder line = new StringBuilder("payneteasy " + input);
            for (BerTlv object : new BerTlvParser().parse(bytes, 0, bytes.length).getList()) {
                line.append(' ').append(object.getTag().toString().replaceAll("[^0-9A-F]", "")).append('=').append(object.getHexValue());
            }
            System.out.println(line);
        }
    }
}
JAVA
cat > read.js <<'JS'
const list = objects => objects.map(o => `${o.tag}=${o.value}`).join(' ');
for (const input of process.argv.slice(2)) {
    const one = require('node-tlv').parseList(input).map(o => ({ tag: o.getTag(), value: o.getValue() }));
    const two = require('ber-tlv').TlvFactory.parse(input).map(o => ({ tag: o.tag, value: o.value.toString('hex').toUpperCase() }));
    console.log(`node-tlv ${input} ${list(one)}`);
    console.log(`ber-tlv ${input} ${list(two)}`);
}
JS
javac -nowarn -cp ber-tlv-1.0-11.jar Read.java 2>/dev/null || cannot "javac"
inputs=(8001AA008101BB 8001AA00008101BB)
seen=$({
    java -cp ber-tlv-1.0-11.jar:. Read "${inputs[@]}" 2>&1 || echo "java failed"
    node read.js "${inputs[@]}" 2>&1 || echo "node failed"
} | grep -E '^(payneteasy|node-tlv|ber-tlv|java|node) ')
printf '%s\n' "$seen"
expected='payneteasy 8001AA008101BB 80=AA 00=BB
payneteasy 8001AA00008101BB 80=AA 00= 81=BB
node-tlv 8001AA008101BB 80=AA 00=BB BB=
ber-tlv 8001AA008101BB 80=AA 81=BB
node-tlv 8001AA00008101BB 80=AA 00= 81=BB
ber-tlv 8001AA00008101BB 80=AA 81=BB'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
