"""SCP03 at level 33 towards a blank card, with AES of our own: these scripts need nothing but Python itself."""

import os


def _tables():
    """The S-box and its inverse (FIPS 197, 5.1.1), computed from the inverses in GF(2^8)."""
    box = [0] * 256
    p = q = 1
    while True:
        p ^= (p << 1) & 0xFF ^ (0x1B if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        q ^= 0x09 if q & 0x80 else 0
        box[p] = (q ^ _turn(q, 1) ^ _turn(q, 2) ^ _turn(q, 3) ^ _turn(q, 4)) ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return box, [box.index(i) for i in range(256)]


def _turn(byte, by):
    return (byte << by | byte >> (8 - by)) & 0xFF


def _times(a, b):
    total = 0
    while b:
        total ^= a if b & 1 else 0
        a = (a << 1) & 0xFF ^ (0x1B if a & 0x80 else 0)
        b >>= 1
    return total


BOX, UNBOX = _tables()
TIMES = {factor: [_times(i, factor) for i in range(256)] for factor in (2, 3, 9, 11, 13, 14)}


class Aes:
    """AES-128, one block at a time. Test equipment: nothing here is constant in time."""

    def __init__(self, key):
        words = [list(key[i : i + 4]) for i in range(0, 16, 4)]
        rcon = 1
        for i in range(4, 44):
            word = words[-1]
            if i % 4 == 0:
                word = [BOX[b] for b in word[1:] + word[:1]]
                word[0] ^= rcon
                rcon = _times(rcon, 2)
            words.append([a ^ b for a, b in zip(words[i - 4], word)])
        self.rounds = [sum(words[i : i + 4], []) for i in range(0, 44, 4)]

    def encrypt(self, block):
        s = [a ^ b for a, b in zip(block, self.rounds[0])]
        two, three = TIMES[2], TIMES[3]
        for n in range(1, 11):
            s = [BOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
            if n < 10:
                mixed = []
                for c in range(0, 16, 4):
                    a, b, d, e = s[c : c + 4]
                    mixed += [
                        two[a] ^ three[b] ^ d ^ e,
                        a ^ two[b] ^ three[d] ^ e,
                        a ^ b ^ two[d] ^ three[e],
                        three[a] ^ b ^ d ^ two[e],
                    ]
                s = mixed
            s = [a ^ b for a, b in zip(s, self.rounds[n])]
        return bytes(s)

    def decrypt(self, block):
        s = [a ^ b for a, b in zip(block, self.rounds[10])]
        nine, eleven, thirteen, fourteen = (TIMES[n] for n in (9, 11, 13, 14))
        for n in range(9, -1, -1):
            s = [UNBOX[s[(i - 4 * (i % 4)) % 16]] for i in range(16)]
            s = [a ^ b for a, b in zip(s, self.rounds[n])]
            if n > 0:
                mixed = []
                for c in range(0, 16, 4):
                    a, b, d, e = s[c : c + 4]
                    mixed += [
                        fourteen[a] ^ eleven[b] ^ thirteen[d] ^ nine[e],
                        nine[a] ^ fourteen[b] ^ eleven[d] ^ thirteen[e],
                        thirteen[a] ^ nine[b] ^ fourteen[d] ^ eleven[e],
                        eleven[a] ^ thirteen[b] ^ nine[d] ^ fourteen[e],
                    ]
                s = mixed
        return bytes(s)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def cbc(key, iv, data):
    aes, out = Aes(key), b""
    for at in range(0, len(data), 16):
        iv = aes.encrypt(xor(iv, data[at : at + 16]))
        out += iv
    return out


def cbc_decrypt(key, iv, data):
    aes, out = Aes(key), b""
    for at in range(0, len(data), 16):
        out += xor(aes.decrypt(data[at : at + 16]), iv)
        iv = data[at : at + 16]
    return out


def cmac(key, message):
    """NIST SP 800-38B."""
    aes = Aes(key)

    def double(block):
        n = int.from_bytes(block, "big") << 1
        return ((n ^ 0x87 if n >> 128 else n) & (1 << 128) - 1).to_bytes(16, "big")

    last = double(aes.encrypt(bytes(16)))
    whole = message and len(message) % 16 == 0
    if not whole:
        last = double(last)
        message += b"\x80" + bytes(-(len(message) + 1) % 16)
    return cbc(key, bytes(16), message[:-16] + xor(message[-16:], last))[-16:]


def self_test():
    """FIPS 197 C.1 and RFC 4493: (name, whether it holds)."""
    aes = Aes(bytes(range(16)))
    plain, secret = (
        bytes.fromhex("00112233445566778899aabbccddeeff"),
        bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a"),
    )
    yield "vm: AES-128 of FIPS 197 forth and back", aes.encrypt(plain) == secret and aes.decrypt(secret) == plain
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    text = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411")
    yield (
        "vm: AES-CMAC of RFC 4493",
        (cmac(key, b"").hex(), cmac(key, text[:16]).hex(), cmac(key, text).hex())
        == (
            "bb1d6929e95937287fa37d129b756746",
            "070a16b46b4d4144f79bdd9dd04a287c",
            "dfa66747de9ae63030ca32611497c827",
        ),
    )
    yield "vm: CBC forth and back", cbc_decrypt(key, secret, cbc(key, secret, text[:32])) == text[:32]


def derive(key, constant, bits, context):
    """GlobalPlatform Amendment D, 4.1.5."""
    return cmac(key, bytes(11) + bytes([constant, 0]) + bits.to_bytes(2, "big") + b"\1" + context)[: bits // 8]


class Refused(Exception):
    """The status that refused a command, in hex."""


class Session:
    """A secure channel; `keys` are ENC, MAC and DEK."""

    def __init__(self, card, keys):
        self.card = card
        challenge = os.urandom(8)
        answer = card.send(b"\x80\x50\0\0\x08" + challenge + b"\0")
        if answer[-2:] != b"\x90\0":
            raise Refused(answer[-2:].hex())
        self.version, context, cryptogram = answer[10], challenge + answer[13:21], answer[21:29]
        self.enc, self.mac, self.rmac = (
            derive(key, n, 128, context) for key, n in ((keys[0], 4), (keys[1], 6), (keys[1], 7))
        )
        if derive(self.mac, 0, 64, context) != cryptogram:
            raise Refused("the card's cryptogram is another")
        self.dek, self.chain, self.count = keys[2], bytes(16), 0
        answer = card.send(self.signed(b"\x84\x82\x33\0", derive(self.mac, 1, 64, context)))
        if answer != b"\x90\0":
            raise Refused(answer.hex())

    def signed(self, head, data):
        length = bytes([len(data) + 8])
        self.chain = cmac(self.mac, self.chain + head + length + data)
        return head + length + data + self.chain[:8]

    def command(self, ins, p1, p2, data=b""):
        """The APDU, not yet sent."""
        self.count += 1
        if data:
            padded = data + b"\x80" + bytes(-(len(data) + 1) % 16)
            data = cbc(self.enc, Aes(self.enc).encrypt(self.count.to_bytes(16, "big")), padded)
        return self.signed(bytes([0x84, ins, p1, p2]), data) + b"\0"

    def open(self, answer):
        """The data of an answer, its MAC verified."""
        status = answer[-2:]
        if status != b"\x90\0":
            raise Refused(status.hex())
        data, mac = answer[:-10], answer[-10:-2]
        if cmac(self.rmac, self.chain + data + status)[:8] != mac:
            raise Refused("the answer's MAC is wrong")
        if not data:
            return b""
        iv = Aes(self.enc).encrypt(b"\x80" + self.count.to_bytes(16, "big")[1:])
        return cbc_decrypt(self.enc, iv, data).rstrip(b"\0")[:-1]

    def send(self, ins, p1, p2, data=b""):
        return self.open(self.card.send(self.command(ins, p1, p2, data)))

    def put_keys(self, keys):
        """The data of PUT KEY for a set with the version 01."""
        data = b"\x01"
        for key in keys:
            data += b"\x88\x10" + cbc(self.dek, bytes(16), key) + b"\x03" + Aes(key).encrypt(b"\1" * 16)[:3]
        return data
