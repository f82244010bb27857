#!/usr/bin/env bash
# softhsm2-util --import FILE --aes: "use file as is and import it as AES".
#
# Versions:  softhsm2 2.6.1-2.1 (Debian 12), read back with python-pkcs11 0.9.3
# Guess:     the 16 bytes of the file become a key of 16 bytes, whatever they are; at most a zero byte ends it.
# Seen:      the file is read as one line of text, without a word: the key ends before the first zero byte and behind the
#            first line feed (0A), which it keeps. The rest is lost: keys of 8, 0 and 10 bytes, which are no AES keys. About
#            one random AES-128 key in 9 has one of the two bytes.
# So:        import raw keys with another tool (pkcs11-tool --write-object), and compare CKA_VALUE_LEN.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
apt-get download -qq softhsm2=2.6.1-2.1 libsofthsm2=2.6.1-2.1 2>/dev/null || cannot "softhsm2 2.6.1-2.1 cannot be downloaded (apt-get)"
for package in ./*.deb; do dpkg -x "$package" root || cannot "dpkg"; done
install_reader() {
    python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: python-pkcs11==0.9.3
}
install_reader >/dev/null 2>&1 || cannot "python-pkcs11 0.9.3 cannot be installed (pip)"

module=$(find "$work/root" -name libsofthsm2.so -type f | head -n 1)
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$work" > softhsm2.conf
export SOFTHSM2_CONF=$work/softhsm2.conf
util() { root/usr/bin/softhsm2-util --module "$module" "$@"; }
util --init-token --free --label t --pin 1234 --so-pin 1234 >/dev/null || cannot "no token"

# NAME, the 16 bytes as hexadecimal digits, ID.
import_one() {
    python3 -c 'import sys; open(sys.argv[2], "wb").write(bytes.fromhex(sys.argv[1]))' "$2" "$1.key"
    util --import "$1.key" --aes --token t --label "$1" --id "$3" --pin 1234 >/dev/null 2>"$1.err" || echo "$1: refused: $(head -n 1 "$1.err")"
}
import_one whole 4142434445464748494B4C4D4E4F5051 01
import_one zero-inside 4142434445464748004B4C4D4E4F5051 02
import_one zero-first 0042434445464748494B4C4D4E4F5051 03
import_one line-feed 4142434445464748490A4C4D4E4F5051 04

seen=$(venv/bin/python - "$module" <<'PY'
import sys, pkcs11
from pkcs11 import Attribute, ObjectClass
token = pkcs11.lib(sys.argv[1]).get_token(token_label="t")
with token.open(user_pin="1234") as session:
    for key in session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}):
        print(key[Attribute.LABEL], key[Attribute.VALUE_LEN])
PY
) || cannot "python-pkcs11"
seen=$(sort <<<"$seen")
printf '%s\n' "$seen"
expected=$'line-feed 10\nwhole 16\nzero-first 0\nzero-inside 8'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
