#!/usr/bin/env bash
# vicc, the virtual card of vsmartcard: commands of case 4 (data and an expected length) with extended length fields.
#
# Versions:  python3-virtualsmartcard 3.3+dfsg-2 (Debian 12) with PyPI pycryptodome 4.4.0; a JDK beside them (seen with 17)
# Input:     SELECT of the master file in all forms, and GET CHALLENGE. ISO/IEC 7816-4:2005, 5.1: an extended Le field has two
#            bytes where an extended Lc field is present, and three, the first of them 00, where Lc is absent.
# Guess:     vicc's class for commands, C_APDU, reads and writes all cases, short and extended.
# Seen:      its card answers 9000 to the short forms, to an extended Lc without Le, and to one with Le 0000. To one with any
#            other Le it answers 6A80, for it looks for an Le of three bytes behind Lc. Java's CommandAPDU writes the very bytes
#            that are refused. C_APDU writes such an Le of three bytes too, leaves out the 00 before Lc, and loses the low byte
#            of Le: GET CHALLENGE for 257 bytes becomes one for 256.
# So:        a driver that asks for 256 bytes in the extended form fails with vicc, not with a card. Ask vicc for 0000, which
#            is as many as there are.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
package=python3-virtualsmartcard=3.3+dfsg-2
apt-get download -qq "$package" 2>/dev/null || cannot "$package cannot be downloaded (apt-get)"
dpkg -x ./*.deb root || cannot "dpkg"
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: pycryptodome==4.4.0; } \
    >/dev/null 2>&1 || cannot "pycryptodome 4.4.0 cannot be installed (pip)"

cat > Write.java <<'JAVA'
import java.util.HexFormat;
import javax.smartcardio.CommandAPDU;

public class Write {
    public static void main(String[] none) {
        CommandAPDU command = new CommandAPDU(0x00, 0xA4, 0x00, 0x0C, new byte[] {0x3F, 0x00}, 257);
        System.out.println("Java writes " + HexFormat.of().withUpperCase().formatHex(command.getBytes()));
    }
}
JAVA
cat > answer.py <<'PY'
import logging, sys
logging.disable()
sys.path.insert(0, sys.argv[1])
from virtualsmartcard.CardGenerator import CardGenerator
from virtualsmartcard.VirtualSmartcard import Iso7816OS
from virtualsmartcard.utils import C_APDU
generator = CardGenerator("iso7816")
generator.generateCard()
for command in sys.argv[2:]:
    card = Iso7816OS(*generator.getCard(), extended_length=True)
    print(command, "answered", card.execute(bytes.fromhex(command))[-2:].hex().upper())
for command in "00A4000C0000023F00", "00A4000C0000023F000000", "00840000000101":
    print(command, "written", C_APDU(bytes.fromhex(command)).render().hex().upper())
PY
modules=$(find root -type d -path '*virtualsmartcard/virtualsmartcard' -prune -printf '%h\n')
select=00A4000C
seen=$(
    java Write.java && venv/bin/python answer.py "$modules" "${select}023F00" "${select}023F0000" "${select}0000023F00" \
        "${select}0000023F000000" "${select}0000023F000001" "${select}0000023F000100" "${select}0000023F000101"
) || cannot "java or python"
printf '%s\n' "$seen"
expected='Java writes 00A4000C0000023F000101
00A4000C023F00 answered 9000
00A4000C023F0000 answered 9000
00A4000C0000023F00 answered 9000
00A4000C0000023F000000 answered 9000
00A4000C0000023F000001 answered 6A80
00A4000C0000023F000100 answered 6A80
00A4000C0000023F000101 answered 6A80
00A4000C0000023F00 written 00A4000C023F00
00A4000C0000023F000000 written 00A4000C023F00000000
00840000000101 written 00840000000100'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
