"""The two links of Oracle's reference implementation: its own framing around T=1 blocks, and TLP224 for T=0."""

import socket

# How long the card may take to answer, in seconds: P-256 runs in software, on a host that may be busy.
SILENCE = 900


class Mute(Exception):
    """The card said nothing, or what a card may not say."""


def lrc(data):
    total = 0
    for byte in data:
        total ^= byte
    return total


class T1:
    """Frame: opcode, length (2), message, XOR. The message of a block: NAD, PCB, LEN, INF, LRC (ISO/IEC 7816-3, 11)."""

    POWER_UP, POWER_DOWN, DATA = 0xF0, 0xE0, 0x80
    EXTENDED = True
    # Bytes of INF per block: the card announces no other size.
    IFS = 32

    def __init__(self, sock):
        self.sock = sock
        self.sequence = 0
        self.aborts = 0

    def receive(self, length):
        data = b""
        while len(data) < length:
            try:
                more = self.sock.recv(length - len(data))
            except OSError as error:
                raise Mute(str(error)) from error
            if not more:
                raise Mute("it closed the link")
            data += more
        return data

    def frame(self, opcode, message=b""):
        data = bytes([opcode]) + len(message).to_bytes(2, "big") + message
        self.sock.sendall(data + bytes([lrc(data)]))

    def answer(self):
        head = self.receive(3)
        message = self.receive(int.from_bytes(head[1:], "big"))
        self.receive(1)
        return head[0], message

    def power_up(self):
        """The answer to reset."""
        self.sequence = 0
        self.frame(self.POWER_UP)
        return self.answer()[1]

    def power_down(self):
        try:
            self.frame(self.POWER_DOWN)
        except OSError:
            pass

    def block(self, pcb, inf=b""):
        data = bytes([0, pcb, len(inf)]) + inf
        self.frame(self.DATA, data + bytes([lrc(data)]))

    def read(self):
        """The next block that is no S-block: (PCB, INF)."""
        while True:
            opcode, message = self.answer()
            if opcode != self.DATA or len(message) < 4:
                raise Mute(f"opcode {opcode:02X} {message.hex()}")
            pcb, inf = message[1], message[3:-1]
            if pcb & 0xC0 != 0xC0:
                return pcb, inf
            if pcb not in (0xC1, 0xC2, 0xC3):  # IFS, ABORT, WTX
                raise Mute(f"S-block {pcb:02X}")
            self.aborts += pcb == 0xC2
            self.block(pcb | 0x20, inf)

    def pieces(self, apdu):
        """The I-blocks of a command: (PCB, INF), the last without the bit for more."""
        for at in range(0, max(len(apdu), 1), self.IFS):
            more = at + self.IFS < len(apdu)
            pcb = self.sequence << 6 | (0x20 if more else 0)
            self.sequence ^= 1
            yield pcb, apdu[at : at + self.IFS]

    def begin(self, apdu):
        """Sends a command up to its last block; what is returned sends that one, and does not wait for the answer."""
        for pcb, inf in self.pieces(apdu):
            if not pcb & 0x20:
                return lambda pcb=pcb, inf=inf: self.block(pcb, inf)
            self.block(pcb, inf)
            self.read()
        return None

    def send(self, apdu):
        """A command, whatever its length; the answer with its status."""
        aborts = self.aborts
        pcb, inf = 0, b""
        for pcb_out, inf_out in self.pieces(apdu):
            self.block(pcb_out, inf_out)
            pcb, inf = self.read()
            if not pcb_out & 0x20 or (not pcb & 0x80 and self.aborts != aborts):
                break
            if pcb & 0xCF != 0x80:
                raise Mute(f"R-block expected, {pcb:02X} {inf.hex()} came")
        answer = b""
        while True:
            if pcb & 0x80:
                raise Mute(f"I-block expected, {pcb:02X} {inf.hex()} came")
            answer += inf
            if not pcb & 0x20:
                return answer
            self.block(0x80 | ((pcb >> 6 & 1) ^ 1) << 4)
            pcb, inf = self.read()


class T0:
    """TLP224: hex digits of ACK, length, message and LRC, then EOT."""

    EXTENDED = False
    ACK, EOT = 0x60, b"\x03"
    ISO_IN, ISO_OUT = 0xDA, 0xDB

    def __init__(self, sock):
        self.sock = sock

    def write(self, message):
        # A message may be longer than its one length byte can express: EOT ends it.
        data = bytes([self.ACK, len(message) & 0xFF]) + message
        self.sock.sendall((data + bytes([lrc(data)])).hex().upper().encode() + self.EOT)

    def read(self):
        text = b""
        while True:
            try:
                byte = self.sock.recv(1)
            except OSError as error:
                raise Mute(str(error)) from error
            if not byte:
                raise Mute("it closed the link")
            if byte == self.EOT:
                break
            text += byte
        try:
            return bytes.fromhex(text.decode("ascii"))[2:-1]
        except ValueError as error:
            raise Mute(f"no hex digits: {text!r}") from error

    def power_up(self):
        """The answer to reset."""
        self.write(bytes.fromhex("6E000000"))
        return self.read()

    def power_down(self):
        try:
            self.write(b"\x4d")
        except OSError:
            pass

    @staticmethod
    def request(apdu):
        """What a reader makes of an APDU: a command with data loses its Le (ISO/IEC 7816-3, 12.2)."""
        head, rest = apdu[:4], apdu[4:]
        if len(rest) <= 1:
            return bytes([T0.ISO_OUT]) + head + (rest or b"\0")
        length = rest[0]
        return bytes([T0.ISO_IN]) + head + bytes([length]) + rest[1 : 1 + length]

    def begin(self, apdu):
        """What is returned sends a command, and does not wait for the answer."""
        return lambda: self.write(self.request(apdu))

    def exchange(self, request):
        self.write(request)
        message = self.read()
        if len(message) < 3:
            raise Mute(f"no status: {message.hex()}")
        return message[1:]

    def send(self, apdu):
        """A short command; 61xx and 6Cxx are dealt with as a reader does, once."""
        rest = apdu[4:]
        if len(rest) > 1 and (rest[0] == 0 or len(rest) not in (rest[0] + 1, rest[0] + 2)):
            return b"\x67\x00"  # Extended length, or nothing that T=0 could carry.
        answer = self.exchange(self.request(apdu))
        status = answer[-2:]
        if len(rest) <= 1:
            if status[:1] == b"\x6c":
                answer = self.exchange(bytes([self.ISO_OUT]) + apdu[:4] + status[1:])
        elif status[:1] == b"\x61":
            answer = self.exchange(bytes([self.ISO_OUT, apdu[0] & 3, 0xC0, 0, 0]) + status[1:])
        return answer


def connect(port, protocol, alive, patience=180.0):
    """Connects to a reference implementation that is starting; `alive` says whether its process still runs."""
    import time

    end = time.monotonic() + patience
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), timeout=SILENCE)
            break
        except OSError as error:
            if time.monotonic() > end or not alive():
                raise Mute(f"it does not listen: {error}") from error
            time.sleep(0.02)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return (T1 if protocol == 1 else T0)(sock)
