#!/usr/bin/env bash
# p11tool --write --secret-key HEX: what kind of key it makes.
#
# Versions:  gnutls-bin 3.7.9-2+deb12u7 (Debian 12), softhsm2 2.6.1-2.1, read back with python-pkcs11 0.9.3
# Guess:     16 bytes become an AES key that encrypts and signs (CMAC) as keys of other tools do.
# Seen:      it becomes a generic secret (CKK_GENERIC_SECRET) of 16 bytes, which by its attributes encrypts and signs, and which
#            AES refuses: KeyTypeInconsistent for AES-CMAC and AES-ECB.
# So:        write AES keys with pkcs11-tool (--write-object --type secrkey --key-type AES:16), and look at CKA_KEY_TYPE.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
gnutls=3.7.9-2+deb12u7
for package in "gnutls-bin=$gnutls" "libgnutls30=$gnutls" "libgnutls-dane0=$gnutls" libunbound8=1.17.1-2+deb12u4 \
    libopts25=1:5.18.16-5 libp11-kit0=0.24.1-2 libtasn1-6=4.19.0-2+deb12u1 softhsm2=2.6.1-2.1 libsofthsm2=2.6.1-2.1; do
    apt-get download -qq "$package" 2>/dev/null || cannot "$package cannot be downloaded (apt-get)"
done
for package in ./*.deb; do dpkg -x "$package" root || cannot "dpkg"; done
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: python-pkcs11==0.9.3; } \
    >/dev/null 2>&1 || cannot "python-pkcs11 0.9.3 cannot be installed (pip)"

module=$(find "$work/root" -name libsofthsm2.so -type f | head -n 1)
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$work" > softhsm2.conf
export SOFTHSM2_CONF=$work/softhsm2.conf
root/usr/bin/softhsm2-util --module "$module" --init-token --free --label t --pin 1234 --so-pin 1234 >/dev/null || cannot "no token"
libraries=$(dirname "$(find "$work/root" -name 'libgnutls.so.30*' | head -n 1)")
GNUTLS_PIN=1234 LD_LIBRARY_PATH=$libraries root/usr/bin/p11tool --provider "$module" --login --write \
    --secret-key=4142434445464748494b4c4d4e4f5051 --label desk pkcs11:token=t >/dev/null 2>&1 || cannot "p11tool"

seen=$(venv/bin/python - "$module" <<'PY'
import sys, pkcs11
from pkcs11 import Attribute, Mechanism, ObjectClass
token = pkcs11.lib(sys.argv[1]).get_token(token_label="t")
with token.open(user_pin="1234") as session:
    (key,) = session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})
    print("type", key[Attribute.KEY_TYPE].name, "length", key[Attribute.VALUE_LEN])
    print("encrypts", key[Attribute.ENCRYPT], "signs", key[Attribute.SIGN])
    aes = session.create_object({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: pkcs11.KeyType.AES,
                                 Attribute.VALUE: bytes(16), Attribute.SIGN: True, Attribute.ENCRYPT: True})
    for name, one in (("an AES key", aes), ("this one", key)):
        for act, mechanism in ((one.sign, Mechanism.AES_CMAC), (one.encrypt, Mechanism.AES_ECB)):
            try:
                print(name, mechanism.name, len(act(bytes(16), mechanism=mechanism)))
            except pkcs11.PKCS11Error as error:
                print(name, mechanism.name, type(error).__name__)
PY
) || cannot "python-pkcs11"
printf '%s\n' "$seen"
expected="type GENERIC_SECRET length 16
encrypts True signs True
an AES key AES_CMAC 16
an AES key AES_ECB 16
this one AES_CMAC KeyTypeInconsistent
this one AES_ECB KeyTypeInconsistent"
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
