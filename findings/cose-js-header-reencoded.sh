#!/usr/bin/env bash
# cose-js: the protected header of a COSE_Sign1 message that another program encoded.
#
# Versions:  npm cose-js 0.9.0; PyPI pycose 1.1.0, cwt 3.3.0, cbor2 5.9.0, cryptography 50.0.2
# Guess:     one header map in several well-formed encodings verifies everywhere, for the signature is over the bytes of the
#            header as they came (RFC 9052, section 4.4); cose-js may fail one of them.
# Seen:      pycose and cwt verify all. cose-js raises "Signature missmatch" for each header that is not in the shortest form:
#            a length in one byte more, a label in one byte more, indefinite length. It decodes the header and signs its own
#            encoding of it. Another order of the labels verifies.
# So:        whoever makes messages for cose-js encodes the header in the shortest form.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check pycose==1.1.0 cwt==3.3.0 cbor2==5.9.0 \
    cryptography==50.0.2; } >/dev/null 2>&1 || cannot "the Python packages cannot be installed (pip)"
{ npm init -y && npm install --ignore-scripts cose-js@0.9.0; } >/dev/null 2>&1 || cannot "cose-js 0.9.0 cannot be installed (npm)"

cat > make.py <<'PY'
import json, cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
key = ec.derive_private_key(int("1234567890abcdef" * 4, 16) >> 8, ec.SECP256R1())
point = key.public_key().public_numbers()
headers = {"shortest": "a10126", "other-order": "a20442abcd0126", "long-length": "b8010126", "long-label": "a1180126",
           "indefinite": "bf0126ff"}
messages = {}
for name, header in headers.items():
    header = bytes.fromhex(header)
    signed = cbor2.dumps(["Signature1", header, b"", b"here"])
    r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    messages[name] = cbor2.dumps(cbor2.CBORTag(18, [header, {}, b"here", signature])).hex()
print(json.dumps({"x": point.x.to_bytes(32, "big").hex(), "y": point.y.to_bytes(32, "big").hex(), "messages": messages}))
PY
cat > verify.py <<'PY'
import json
from cwt import COSE, COSEKey
from pycose.keys import EC2Key
from pycose.messages import Sign1Message
file = json.load(open("messages.json"))
x, y = bytes.fromhex(file["x"]), bytes.fromhex(file["y"])
for name, message in file["messages"].items():
    one = Sign1Message.decode(bytes.fromhex(message))
    one.key = EC2Key(crv="P_256", x=x, y=y)
    key = {1: 2, -1: 1, -2: x, -3: y, 3: -7}
    if name == "other-order":
        key[2] = bytes.fromhex("abcd")
    payload = COSE.new().decode(bytes.fromhex(message), [COSEKey.new(key)])
    print(name, "pycose", one.verify_signature(), "cwt", payload.decode())
PY
cat > verify.js <<'JS'
const cose = require("cose-js");
const file = require("./messages.json");
(async () => {
    const key = { x: Buffer.from(file.x, "hex"), y: Buffer.from(file.y, "hex") };
    for (const [name, message] of Object.entries(file.messages)) {
        const verified = cose.sign.verify(Buffer.from(message, "hex"), { key });
        console.log(name, "cose-js", await verified.then(String, (error) => error.message));
    }
})();
JS
venv/bin/python make.py > messages.json || cannot "cbor2"
seen=$(venv/bin/python verify.py && node verify.js) || cannot "a verifier"
printf '%s\n' "$seen"
expected="shortest pycose True cwt here
other-order pycose True cwt here
long-length pycose True cwt here
long-label pycose True cwt here
indefinite pycose True cwt here
shortest cose-js here
other-order cose-js here
long-length cose-js Signature missmatch
long-label cose-js Signature missmatch
indefinite cose-js Signature missmatch"
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
