"""Verifies presence proofs without Rollcall: docs/proof.md. Reads `rollcall scan --proof -o json`, or ndjson, from stdin.

    rollcall scan --proof -o json | python3 verify.py ca.crt [NONCE in hex]

Exit status: 0 every proof holds, 1 one does not, 2 there is none. Freshness is the caller's to judge: give the nonce
that you expect, and remember the last counter of each token.
"""

import base64
import io
import json
import sys
import uuid
from datetime import datetime, timezone

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtensionOID, NameOID

IDENTITY = "1.3.6.1.4.1.32473.82.10"


def binary(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def require(holds, otherwise):
    """Not `assert`, which `python3 -O` leaves out."""
    if not holds:
        raise ValueError(otherwise)


def verify(message, certificate, ca, nonce=None):
    """The claims of a message that holds. Raises when it does not."""
    stream = io.BytesIO(message)
    tagged = cbor2.load(stream)
    require(not stream.read(), "bytes behind the message")
    require(isinstance(tagged, cbor2.CBORTag) and tagged.tag == 18, "no COSE_Sign1")
    protected, unprotected, payload, signature = tagged.value
    require(cbor2.loads(protected) == {1: -7, 16: "application/x.rollcall-1"}, "another algorithm or type")

    identity = x509.load_der_x509_certificate(certificate)
    identity.verify_directly_issued_by(ca)
    now = datetime.now(timezone.utc)
    require(identity.not_valid_before_utc <= now <= identity.not_valid_after_utc, "the certificate is not in time")
    usage = identity.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value
    require([one.dotted_string for one in usage] == [IDENTITY], "a certificate for another purpose")

    claims = cbor2.loads(payload)
    token_id = uuid.UUID(identity.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value).bytes
    require(unprotected == {4: token_id} and claims[256] == b"\x01" + token_id, "another token's certificate")

    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = signature[:32], signature[32:]
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    identity.public_key().verify(der, signed, ECDSA(hashes.SHA256()))
    require(nonce is None or claims[10] == nonce, "another nonce")
    return claims


def main():
    with open(sys.argv[1], "rb") as file:
        ca = x509.load_pem_x509_certificate(file.read())
    nonce = bytes.fromhex(sys.argv[2]) if len(sys.argv) > 2 else None
    text = sys.stdin.read().strip()
    objects = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    proofs = [proof for proof in (one.get("proof") for one in objects) if proof and proof["cose"]]
    for proof in proofs:
        try:
            claims = verify(binary(proof["cose"]), binary(proof["identity_certificate"]), ca, nonce)
        except Exception as error:
            sys.exit(f"it does not hold: {error or type(error).__name__}")
        token = uuid.UUID(bytes=claims[256][1:])
        print(f"token {token}, counter {claims[-70002]}, nonce {claims[10].hex()}: holds")
    sys.exit(0 if proofs else 2)


main()
