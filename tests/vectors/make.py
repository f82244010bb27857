#!/usr/bin/env python3
"""Makes the vectors of this folder with the Python packages `cryptography` and `cbor2`: code that shares nothing with
ours. Run it only to add a vector: `pip install cryptography cbor2 && python3 make.py`. Everything is fixed, signatures
included (RFC 6979), so a second run writes the same bytes."""

import datetime
import hashlib
import json
import pathlib

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import cmac, hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.kbkdf import CounterLocation, KBKDFCMAC, Mode
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.x509.oid import NameOID, ObjectIdentifier

HERE = pathlib.Path(__file__).parent
ARC = "1.3.6.1.4.1.32473.82."
AID = bytes.fromhex("F0524F4C4C43414C4C01")
TOKEN_ID = bytes(range(0xA0, 0xB0))


def key(label):
    scalar = int.from_bytes(hashlib.sha256(b"rollcall vector " + label.encode()).digest(), "big")
    return ec.derive_private_key(scalar % (2**255), ec.SECP256R1())


def scalar(k):
    return k.private_numbers().private_value.to_bytes(32, "big")


def point(k):
    return k.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(k, *parts):
    c = cmac.CMAC(algorithms.AES(k))
    c.update(b"".join(parts))
    return c.finalize()


def cbc(k, iv, data, decrypt=False):
    cipher = Cipher(algorithms.AES(k), modes.CBC(iv))
    op = cipher.decryptor() if decrypt else cipher.encryptor()
    return op.update(data) + op.finalize()


def ecb(k, block):
    op = Cipher(algorithms.AES(k), modes.ECB()).encryptor()
    return op.update(block) + op.finalize()


def tlv(tag, value):
    t = tag.to_bytes(2 if tag > 0xFF else 1, "big")
    n = len(value)
    length = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else bytes([0x82, n >> 8, n & 255])
    return t + length + value


def certificate(ca, subject_key, subject, arc, usage, years=10):
    before = datetime.datetime(2026, 11, 1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rollcall CA")]))
        .public_key(subject_key.public_key())
        .serial_number(int.from_bytes(sha(subject.encode(), arc.encode())[:8], "big") >> 1)
        .not_valid_before(before)
        .not_valid_after(before.replace(year=before.year + years))
    )
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    builder = builder.add_extension(x509.KeyUsage(**{n: n == usage for n in names}), critical=True)
    aki = x509.AuthorityKeyIdentifier(sha(point(ca))[:20], None, None)
    builder = builder.add_extension(aki, critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(ARC + arc)]), critical=False)
    made = builder.sign(ca, hashes.SHA256(), ecdsa_deterministic=True)
    return made.public_bytes(serialization.Encoding.DER)


class Messaging:
    """SCP03 level 33, both sides at once."""

    def __init__(self, enc, mac_key, rmac, chain):
        self.enc, self.mac, self.rmac, self.chain, self.counter = enc, mac_key, rmac, chain, 0

    @staticmethod
    def pad(data):
        return data + b"\x80" + bytes(-(len(data) + 1) % 16)

    def icv(self, top):
        return ecb(self.enc, bytes([top]) + bytes(11) + self.counter.to_bytes(4, "big"))

    def exchange(self, name, header, data, answer, status=b"\x90\x00", form="short", empty_block=False):
        self.counter += 1
        sealed = cbc(self.enc, self.icv(0), self.pad(data)) if data or empty_block else b""
        header = bytes([header[0] | 4]) + header[1:]
        n = len(sealed) + 8
        long = form == "extended" or n > 255
        lc = bytes([0, n >> 8, n & 255]) if long else bytes([n])
        self.chain = mac(self.mac, self.chain, header, lc, sealed)
        body = sealed + self.chain[:8]
        if form == "extended":
            apdus = [header + lc + body + b"\x00\x00"]
        else:
            pieces = [body[i:i + 255] for i in range(0, len(body), 255)]
            apdus = []
            for i, piece in enumerate(pieces):
                last = i + 1 == len(pieces)
                cla = header[0] | (0 if last else 0x10)
                apdus.append(bytes([cla]) + header[1:] + bytes([len(piece)]) + piece + (b"\xF0" if last else b""))
        out = cbc(self.enc, self.icv(0x80), self.pad(answer)) if answer else b""
        out += mac(self.rmac, self.chain, out, status)[:8]
        return {
            "name": name, "header": header.hex(), "data": data.hex(), "format": form,
            "apdus": [a.hex() for a in apdus], "answer": answer.hex(), "status": status.hex(), "wrapped": out.hex(),
        }


def raw(der):
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def scp11a():
    ca, terminal, token, identity = key("ca"), key("terminal"), key("token ecka"), key("token identity")
    e_terminal, e_token = key("ephemeral terminal"), key("ephemeral token")
    uuid = "-".join([TOKEN_ID.hex()[a:b] for a, b in [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)]])
    t_cert = certificate(ca, terminal, "terminal vector", "1", "key_agreement")
    e_cert = certificate(ca, token, uuid, "8", "key_agreement")
    i_cert = certificate(ca, identity, uuid, "10", "digital_signature")
    select = tlv(0x6F, tlv(0x84, AID) + tlv(0xA5, tlv(0x80, b"\x01\x00") + tlv(0x81, b"\x1F") + tlv(0x82, b"\x41")
                 + tlv(0x83, sha(point(ca))[:8]) + tlv(0x85, TOKEN_ID)))
    request = bytes.fromhex("A60D900211019501 3C800188810110".replace(" ", "")) + tlv(0x5F49, point(e_terminal))
    z = (e_terminal.exchange(ec.ECDH(), e_token.public_key()), terminal.exchange(ec.ECDH(), token.public_key()))
    derived = X963KDF(hashes.SHA256(), 80, b"\x3C\x88\x10").derive(b"".join(z))
    object_ = tlv(0x5F49, point(e_token))
    receipt = mac(derived[:16], request, object_)
    answer = object_ + tlv(0x86, receipt)
    binding = sha(select, sha(t_cert), request, answer)

    nonce, counter = sha(b"nonce"), 65542
    record = bytes.fromhex("a3") + cbor2.dumps(1) + cbor2.dumps("p42") + cbor2.dumps(2) + cbor2.dumps("Ada Lovelace") \
        + cbor2.dumps(3) + cbor2.dumps({"room": "B17"})
    filled = record + bytes(120 - len(record))
    x, y = point(terminal)[1:33], point(terminal)[33:]
    thumbprint = sha(cbor2.dumps({1: 2, -1: 1, -2: x, -3: y}))
    payload = cbor2.dumps({8: {5: thumbprint}, 10: nonce, 256: b"\x01" + TOKEN_ID, -70001: binding, -70002: counter,
                           -70003: sha(filled)})
    protected = cbor2.dumps({1: -7, 16: "application/x.rollcall-1"})
    sig_structure = b"\x84" + cbor2.dumps("Signature1") + cbor2.dumps(protected) + b"\x40" + cbor2.dumps(payload)
    der = identity.sign(sig_structure, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    cose = b"\xD2\x84" + cbor2.dumps(protected) + cbor2.dumps({4: TOKEN_ID}) + cbor2.dumps(payload) + cbor2.dumps(raw(der))
    proof = tlv(0x83, TOKEN_ID) + tlv(0x80, counter.to_bytes(4, "big")) + tlv(0x9E, der) + tlv(0x53, filled)

    sm = Messaging(derived[16:32], derived[32:48], derived[48:64], receipt)
    details = bytes(range(224))
    exchanges = [
        sm.exchange("INTERNAL AUTHENTICATE", bytes.fromhex("00880001"), nonce, proof),
        sm.exchange("heartbeat", bytes.fromhex("00CA0100"), b"", b"\x1F"),
        sm.exchange("GET DATA identity certificate, extended", bytes.fromhex("00CA7F21"), b"", i_cert, form="extended"),
        sm.exchange("GET DATA part", bytes.fromhex("00B10102"), tlv(0x54, b"\x00\x00"), tlv(0x53, details)),
        sm.exchange("STORE DATA, a chain", bytes.fromhex("80E29000"),
                    tlv(0xA6, tlv(0x83, b"\x11\x41")) + tlv(0xBF21, e_cert), b""),
    ]
    return {
        "ca": {"scalar": scalar(ca).hex(), "point": point(ca).hex(), "id": sha(point(ca))[:20].hex()},
        "terminal": {"scalar": scalar(terminal).hex(), "certificate": t_cert.hex(), "thumbprint": thumbprint.hex()},
        "token": {
            "id": TOKEN_ID.hex(), "ecka_scalar": scalar(token).hex(), "ecka_certificate": e_cert.hex(),
            "identity_scalar": scalar(identity).hex(), "identity_certificate": i_cert.hex(),
        },
        "ephemeral": {"terminal": scalar(e_terminal).hex(), "token": scalar(e_token).hex()},
        "select_answer": select.hex(),
        "mutual_authenticate": {
            "data": request.hex(), "answer": answer.hex(), "ephemeral_secret": z[0].hex(), "static_secret": z[1].hex(),
            "derived": derived.hex(), "receipt": receipt.hex(),
        },
        "binding": binding.hex(),
        "exchanges": exchanges,
        "proof": {
            "nonce": nonce.hex(), "counter": counter, "record": record.hex(), "sig_structure": sig_structure.hex(),
            "signature": der.hex(), "answer": proof.hex(), "cose": cose.hex(),
        },
    }


def scp03_block(k, constant, bits, context):
    return mac(k, bytes(11) + bytes([constant, 0]) + bits.to_bytes(2, "big") + b"\x01" + context)


def scp03():
    perso = sha(b"perso")[:16]
    diversification = sha(b"diversification")[:10]
    statics = [scp03_block(perso, n, 128, diversification) for n in (1, 2, 3)]
    host, card = sha(b"host")[:8], sha(b"card")[:8]
    s_enc, s_mac, s_rmac = (scp03_block(statics[i], c, 128, host + card) for i, c in ((0, 4), (1, 6), (1, 7)))
    card_cryptogram = scp03_block(s_mac, 0, 64, host + card)[:8]
    host_cryptogram = scp03_block(s_mac, 1, 64, host + card)[:8]
    header = bytes.fromhex("84823300")
    full = mac(s_mac, bytes(16), header, b"\x10", host_cryptogram)
    sm = Messaging(s_enc, s_mac, s_rmac, full)
    new = [sha(b"new key %d" % n)[:16] for n in range(3)]
    data = b"\x01"
    confirmation = b"\x01"
    for k in new:
        kcv = ecb(k, b"\x01" * 16)[:3]
        data += b"\x88\x10" + cbc(statics[2], bytes(16), k) + b"\x03" + kcv
        confirmation += kcv
    point_ = point(key("ca"))
    exchanges = [
        sm.exchange("PUT KEY, SCP03 set", bytes.fromhex("80D80081"), data, confirmation),
        sm.exchange("PUT KEY, CA", bytes.fromhex("80D80010"), b"\x03\xB0\x41" + point_ + b"\xF0\x01\x00\x00", b"\x03"),
        sm.exchange("SET STATUS BLANK", bytes.fromhex("80F04007"), b"", b""),
    ]
    return {
        "perso": perso.hex(), "diversification": diversification.hex(), "static": [k.hex() for k in statics],
        "host_challenge": host.hex(), "card_challenge": card.hex(),
        "session": {"enc": s_enc.hex(), "mac": s_mac.hex(), "rmac": s_rmac.hex()},
        "initialize_update_answer": (diversification + b"\x01\x03\x60" + card + card_cryptogram).hex(),
        "external_authenticate": (header + b"\x10" + host_cryptogram + full[:8]).hex(),
        "new_keys": [k.hex() for k in new],
        "exchanges": exchanges,
    }


def resumed_value(k, constant, context):
    """SCP03's derivation by another counter-mode KDF (SP 800-108), with the counter in the middle: both must agree."""
    fixed = bytes(11) + bytes([constant, 0]) + b"\x00\x80"
    kdf = KBKDFCMAC(algorithms.AES, Mode.CounterMode, 16, 1, None, CounterLocation.MiddleFixed, None, None,
                    fixed + context, break_location=len(fixed))
    value = kdf.derive(k)
    assert value == scp03_block(k, constant, 128, context)
    return value


def fast_tap(scp11a):
    terminal, token = key("terminal"), key("token ecka")
    e_terminal, e_token = key("ephemeral terminal"), key("ephemeral token")
    select = bytes.fromhex(scp11a["select_answer"])
    z = (e_terminal.exchange(ec.ECDH(), e_token.public_key()), terminal.exchange(ec.ECDH(), token.public_key()))
    derived = X963KDF(hashes.SHA256(), 96, b"\x3C\x88\x10").derive(b"".join(z))
    assert derived[:80].hex() == scp11a["mutual_authenticate"]["derived"]
    k, tid = derived[80:], sha(point(terminal))[:8]

    # The full tap that fills the slot: as INTERNAL AUTHENTICATE of scp11a.json, but for P1 and so the MACs.
    proof = bytes.fromhex(scp11a["proof"]["answer"])
    sm = Messaging(derived[16:32], derived[32:48], derived[48:64], bytes.fromhex(scp11a["mutual_authenticate"]["receipt"]))
    full = sm.exchange("INTERNAL AUTHENTICATE, and a slot", bytes.fromhex("00880101"),
                       bytes.fromhex(scp11a["proof"]["nonce"]), proof)

    record = bytes.fromhex(scp11a["proof"]["record"])
    counter = scp11a["proof"]["counter"].to_bytes(4, "big")
    dialogues = []
    for n, (name, form) in enumerate((("short", "short"), ("extended", "extended"), ("an encrypted empty block", "block"))):
        nt, nc = sha(b"terminal nonce %d" % n)[:16], sha(b"card nonce %d" % n)[:16]
        chain = resumed_value(k, 0x42, nt + nc + select)
        enc, mac_key, rmac = (resumed_value(k, c, nt + nc) for c in (0x44, 0x46, 0x47))
        sm = Messaging(enc, mac_key, rmac, chain)
        left = 63 - n
        presence = tlv(0x83, TOKEN_ID) + tlv(0x80, counter) + tlv(0x88, bytes([left])) \
            + tlv(0x53, record + bytes(120 - len(record)))
        plain = "short" if form == "block" else form
        exchanges = [
            sm.exchange("presence", bytes.fromhex("00880201"), b"", presence, form=plain, empty_block=form == "block"),
            sm.exchange("heartbeat", bytes.fromhex("00CA0100"), b"", b"\x1F", form=plain, empty_block=form == "block"),
            sm.exchange("GET DATA record", bytes.fromhex("80CA0101"), b"", record, form=plain),
        ]
        other = bytes([select[0]]) + bytes([select[1] ^ 1]) + select[2:]
        dialogues.append({
            "name": name, "terminal_nonce": nt.hex(), "card_nonce": nc.hex(),
            "resume": (bytes.fromhex("8086000018") + tid + nt + b"\x00").hex(), "answer": (nc + chain[:8]).hex(),
            "chain": chain.hex(), "enc": enc.hex(), "mac": mac_key.hex(), "rmac": rmac.hex(), "uses_left": left,
            "other_chains": {
                "nonces swapped": resumed_value(k, 0x42, nc + nt + select).hex(),
                "constant below": resumed_value(k, 0x41, nt + nc + select).hex(),
                "constant above": resumed_value(k, 0x43, nt + nc + select).hex(),
                "one byte of SELECT": resumed_value(k, 0x42, nt + nc + other).hex(),
            },
            "exchanges": exchanges,
        })
    return {"key": k.hex(), "terminal_id": tid.hex(), "terminal_point": point(terminal).hex(), "full": full,
            "dialogues": dialogues}


first = scp11a()
for name, made in (("scp11a", first), ("scp03", scp03()), ("fast_tap", fast_tap(first))):
    (HERE / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")
    print("wrote", name)
