#!/usr/bin/env bash
# Readers of subjectAltName (RFC 5280, section 4.2.1.6): the names that a device's certificate has besides DNS and addresses.
#
# Versions:  npm @peculiar/x509 2.2.0 (with reflect-metadata 0.2.2), jsrsasign 11.1.5, Node.js (seen with 20); the
#            certificates are made with PyPI cryptography 50.0.2
# Input:     a hardwareModuleName (RFC 4108, section 5), a permanentIdentifier (RFC 4043, section 2) and Microsoft's user
#            name, which are of the kind otherName; a registeredID; a URI. Then a certificate with an empty subject that has
#            the hardwareModuleName alone, critical.
# Guess:     each reads all names without an error, some as bytes.
# Seen:      no error, but @peculiar/x509 leaves out both names of the device, also in its text of the certificate, and of the
#            second certificate nothing remains. jsrsasign leaves out the registeredID.
# So:        a certificate may name a device where such a list is empty: count the names in the extension's own bytes, and do
#            not make a new certificate's names out of this list.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: cryptography==50.0.2; } \
    >/dev/null 2>&1 || cannot "cryptography 50.0.2 cannot be installed (pip)"
{ npm init -y && npm install --ignore-scripts @peculiar/x509@2.2.0 reflect-metadata@0.2.2 jsrsasign@11.1.5; } >/dev/null 2>&1 ||
    cannot "@peculiar/x509 and jsrsasign cannot be installed (npm)"

cat > make.py <<'PY'
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier as Oid

hardware = x509.OtherName(Oid("1.3.6.1.5.5.7.8.4"), bytes.fromhex("3009060388370104020042"))
permanent = x509.OtherName(Oid("1.3.6.1.5.5.7.8.3"), bytes.fromhex("30070c05") + b"00042")
user = x509.OtherName(Oid("1.3.6.1.4.1.311.20.2.3"), bytes.fromhex("0c04") + b"desk")
several = [hardware, permanent, user, x509.RegisteredID(Oid("2.999.2")), x509.UniformResourceIdentifier("urn:example:desk")]
key = ec.derive_private_key(4711, ec.SECP256R1())
subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "desk")])
start = datetime.datetime(2026, 1, 1)
for file, name, names, critical in (("several", subject, several, False), ("one", x509.Name([]), [hardware], True)):
    builder = x509.CertificateBuilder(subject, name, key.public_key(), 1, start, start + datetime.timedelta(days=3650))
    built = builder.add_extension(x509.SubjectAlternativeName(names), critical).sign(key, hashes.SHA256())
    with open(file + ".pem", "wb") as out:
        out.write(built.public_bytes(Encoding.PEM))
    read = built.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    print(file, "cryptography", *[type(one).__name__ for one in read])
PY
cat > read.js <<'JS'
require("reflect-metadata");
const fs = require("fs");
const peculiar = require("@peculiar/x509");
const { X509 } = require("jsrsasign");
for (const file of ["several", "one"]) {
    const pem = fs.readFileSync(file + ".pem", "latin1");
    const one = new peculiar.X509Certificate(pem).getExtension("2.5.29.17");
    console.log(file, "@peculiar/x509", ...one.names.items.map((name) => name.type));
    console.log(file, "@peculiar/x509 text", one.toString("text").split("\n").length - 1, "names");
    const two = new X509(pem).getExtSubjectAltName();
    console.log(file, "jsrsasign", ...two.array.map((name) => Object.keys(name)[0]));
}
JS
seen=$(venv/bin/python make.py && node read.js) || cannot "python or node"
printf '%s\n' "$seen"
expected="several cryptography OtherName OtherName OtherName RegisteredID UniformResourceIdentifier
one cryptography OtherName
several @peculiar/x509 upn id url
several @peculiar/x509 text 3 names
several jsrsasign other other other uri
one @peculiar/x509
one @peculiar/x509 text 0 names
one jsrsasign other"
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
