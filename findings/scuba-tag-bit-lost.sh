#!/usr/bin/env bash
# SCUBA's TLV streams, with which JMRTD reads passports: tags of three bytes.
#
# Versions:  net.sf.scuba:scuba-smartcards 0.0.20, com.payneteasy:ber-tlv 1.0-11 beside it (Maven Central), a JDK (seen with 17)
# Input:     objects whose tag has three bytes. ISO/IEC 7816-4:2005, 5.2.2.1: in each byte of a tag after the first, bit 8 is
#            1 unless the byte is the last. EMV's contactless kernel 2 has many such tags (DF8117, DF8129).
# Guess:     TLVInputStream.readTag gives DF8129 for the tag DF8129, and TLVOutputStream writes an object as it was read.
# Seen:      readTag clears bit 8 of the bytes after the first, so DF8129 reads as DF0129: who compares with DF8129 never
#            finds the object, and no error says so. Written back, the object DF8129 01 AA becomes DF0129 01 AA, which begins
#            with a tag DF01 and promises 41 bytes. Reading takes the bits of the tag's number, writing takes the tag's
#            bytes: writeTag(0xDF8129) is right. The other library keeps the tags, and tags of one and two bytes, such as
#            passports have, come whole.
# So:        compare what SCUBA reads with DF0129 where DF8129 is meant, but write DF8129, and never write a tag that was read.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
for artifact in net.sf.scuba:scuba-smartcards:0.0.20 com.payneteasy:ber-tlv:1.0-11; do
    mvn -q -B dependency:copy -Dartifact="$artifact" -DoutputDirectory="$work" >/dev/null 2>&1 || cannot "$artifact cannot be fetched (mvn)"
done

cat > Tags.java <<'JAVA'
import com.payneteasy.tlv.*;
import java.io.*;
import java.util.*;
import net.sf.scuba.tlv.*;

public class Tags {
    static String hex(byte[] bytes) { return HexFormat.of().withUpperCase().formatHex(bytes); }

    static byte[] write(int tag, byte[] value) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        TLVOutputStream stream = new TLVOutputStream(out);
        stream.writeTag(tag);
        stream.writeValue(value);
        stream.flush();
        return out.toByteArray();
    }

    public static void main(String[] objects) throws IOException {
        for (String object : objects) {
            byte[] bytes = HexFormat.of().parseHex(object);
            TLVInputStream stream = new TLVInputStream(new ByteArrayInputStream(bytes));
            int tag = stream.readTag();
            stream.readLength();
            byte[] value = stream.readValue();
            BerTag other = new BerTlvParser().parse(bytes, 0, bytes.length).getList().get(0).getTag();
            System.out.printf("%s: scuba %X, ber-tlv %s; written back %s%n", object, tag, hex(other.bytes), hex(write(tag, value)));
        }
        System.out.println("written with DF8129: " + hex(write(0xDF8129, new byte[] {(byte) 0xAA})));
    }
}
JAVA
javac -nowarn -cp 'scuba-smartcards-0.0.20.jar:ber-tlv-1.0-11.jar' Tags.java 2>/dev/null || cannot "javac"
seen=$(java -cp 'scuba-smartcards-0.0.20.jar:ber-tlv-1.0-11.jar:.' Tags 5A01AA 5F1F01AA 9F812901AA DF812901AA 2>&1) || cannot "java"
printf '%s\n' "$seen"
expected='5A01AA: scuba 5A, ber-tlv 5A; written back 5A01AA
5F1F01AA: scuba 5F1F, ber-tlv 5F1F; written back 5F1F01AA
9F812901AA: scuba 9F0129, ber-tlv 9F8129; written back 9F012901AA
DF812901AA: scuba DF0129, ber-tlv DF8129; written back DF012901AA
written with DF8129: DF812901AA'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
