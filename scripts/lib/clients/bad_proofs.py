"""Proofs that hold and that do not, of a CA of their own: bad_proofs.py FOLDER. It writes ca.crt, for each case a file NAME.json,
with NAME.nonce where a nonce is expected, and prints each name behind the exit status that a verifier has to end with."""

import base64
import json
import sys
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

folder = Path(sys.argv[1])
IDENTITY = ObjectIdentifier("1.3.6.1.4.1.32473.82.10")
now = datetime.now(timezone.utc).replace(microsecond=0)
token = uuid.uuid4()
nonce = bytes(range(32))
ca_key, other_ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, public_key, signer, *extensions):
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("A CA")).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def usage(*, of_ca):
    return x509.KeyUsage(
        digital_signature=not of_ca,
        key_cert_sign=of_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def identity(signer=ca_key, use=IDENTITY):
    return certificate(
        str(token),
        key.public_key(),
        signer,
        (usage(of_ca=False), True),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
        (x509.ExtendedKeyUsage([use]), False),
    )


def message(kid=token.bytes, tag=18):
    protected = cbor2.dumps({1: -7, 16: "application/x.rollcall-1"})
    ueid = b"\x01" + token.bytes
    claims = {8: {5: bytes(32)}, 10: nonce, 256: ueid, -70001: bytes(32), -70002: 65542, -70003: bytes(32)}
    payload = cbor2.dumps(claims)
    signed = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(hashes.SHA256()))
    signature = b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(signed))
    parts = [protected, {4: kid}, payload, signature]
    return cbor2.dumps(cbor2.CBORTag(tag, parts) if tag else parts)


def encoded(binary):
    return base64.urlsafe_b64encode(binary).decode().rstrip("=")


def scan(cose, der):
    proof = {"cose": encoded(cose), "counter": 65542}
    proof["identity_certificate"] = encoded(der.public_bytes(Encoding.DER)) if der else None
    return {"token_id": str(token), "proof": proof}


def case(status, called, scans, expected=None):
    (folder / f"{called}.json").write_text(scans if isinstance(scans, str) else json.dumps(scans))
    if expected is not None:
        (folder / f"{called}.nonce").write_text(expected)
    print(status, called)


authority = certificate(
    "A CA",
    ca_key.public_key(),
    ca_key,
    (x509.BasicConstraints(ca=True, path_length=0), True),
    (usage(of_ca=True), True),
    (identifier, False),
)
(folder / "ca.crt").write_bytes(authority.public_bytes(Encoding.PEM))
good = scan(message(), identity())
case(0, "good", [good])
case(0, "lines", json.dumps(good) + "\n\n" + json.dumps(good) + "\n")
case(0, "right-nonce", [good], nonce.hex())
case(1, "other-nonce", [good], bytes(32).hex())
case(1, "empty-nonce", [good], "")
case(1, "untagged", [scan(message(tag=None), identity())])
case(1, "other-tag", [scan(message(tag=17), identity())])
case(1, "trailing", [scan(message() + b"\0", identity())])
case(1, "other-kid", [scan(message(kid=bytes(16)), identity())])
case(1, "other-ca", [scan(message(), identity(signer=other_ca_key))])
case(1, "other-use", [scan(message(), identity(use=ExtendedKeyUsageOID.CLIENT_AUTH))])
case(1, "no-certificate", [scan(message(), None)])
case(1, "no-certificate-behind-good", [good, scan(message(), None)])
case(2, "empty", "")
case(2, "no-scan", [])
case(2, "no-proof", [{"token_id": str(token), "proof": None}])
