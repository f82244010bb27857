#!/usr/bin/env bash
# JWK thumbprints (RFC 7638) of EC keys whose x or y begins with a zero byte.
#
# Versions:  PyPI Authlib 1.9.10 (authlib.jose, which it calls deprecated), cryptojwt 1.11.0, and jwcrypto 1.6.1, joserfc
#            1.8.0 and PyJWT 2.15.1 beside them; cryptography 50.0.2
# Input:     1,000 public keys each on P-256 and P-521, from PEM. RFC 7518, 6.2.1.2 and 6.2.1.3: x and y always have the full
#            length of a coordinate, 32 and 66 bytes; the thumbprint is over this text.
# Guess:     each library writes the full length, and all give the same thumbprint.
# Seen:      Authlib drops the zero bytes: another thumbprint, which it also writes as "kid", for each such key, 8 of 1,000 on
#            P-256 and 752 on P-521. cryptojwt does so on P-521 alone. The other three are right.
# So:        who looks a key up by a thumbprint of theirs misses one P-256 key in 128 and three in four on P-521. Compute it
#            from the padded coordinates, and test with a key whose x begins with 00.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: Authlib==1.9.10 \
    cryptojwt==1.11.0 jwcrypto==1.6.1 joserfc==1.8.0 PyJWT==2.15.1 cryptography==50.0.2; } >/dev/null 2>&1 ||
    cannot "the Python packages cannot be installed (pip)"

cat > thumbprints.py <<'PY'
import base64, collections, hashlib, json
import authlib.jose, cryptojwt.jwk.ec, joserfc.jwk, jwcrypto.jwk, jwt.algorithms
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

def thumbprint(jwk):
    """RFC 7638, section 3: the required members in the order of their names, without spaces."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return text(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())

def with_cryptojwt(pem, key):
    read = cryptojwt.jwk.ec.ECKey()
    read.load_key(key)
    return read.thumbprint("SHA-256").decode()

def with_pyjwt(pem, key):
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    return thumbprint(json.loads(algorithm.to_jwk(algorithm.prepare_key(pem))))

libraries = {
    "Authlib": lambda pem, key: authlib.jose.ECKey.import_key(pem).thumbprint(),
    "Authlib kid": lambda pem, key: authlib.jose.ECKey.import_key(pem).as_dict()["kid"],
    "cryptojwt": with_cryptojwt,
    "joserfc": lambda pem, key: joserfc.jwk.ECKey.import_key(pem).thumbprint(),
    "jwcrypto": lambda pem, key: jwcrypto.jwk.JWK.from_pem(pem).thumbprint(),
    "PyJWT": with_pyjwt,
}
for name, curve, size in (("P-256", ec.SECP256R1(), 32), ("P-521", ec.SECP521R1(), 66)):
    other = collections.Counter()
    for number in range(1000):
        scalar = int.from_bytes(hashlib.sha256(b"key %d" % number).digest(), "big") >> 1
        key = ec.derive_private_key(scalar, curve).public_key()
        point = key.public_numbers()
        x, y = (text(coordinate.to_bytes(size, "big")) for coordinate in (point.x, point.y))
        right = thumbprint({"kty": "EC", "crv": name, "x": x, "y": y})
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        zero = 0 in (point.x >> 8 * (size - 1), point.y >> 8 * (size - 1))
        other["begins with zero"] += zero
        for library, compute in libraries.items():
            other[library] += compute(pem, key) != right
    for library, count in other.items():
        print(name, library, count)
PY
seen=$(venv/bin/python -W ignore thumbprints.py 2>/dev/null) || cannot "a library"
printf '%s\n' "$seen"
expected="P-256 begins with zero 8
P-256 Authlib 8
P-256 Authlib kid 8
P-256 cryptojwt 0
P-256 joserfc 0
P-256 jwcrypto 0
P-256 PyJWT 0
P-521 begins with zero 752
P-521 Authlib 752
P-521 Authlib kid 752
P-521 cryptojwt 752
P-521 joserfc 0
P-521 jwcrypto 0
P-521 PyJWT 0"
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
