"""A card for QEMU's slot: its card protocol on one side, `rollcall virtual-token` (vpcd's protocol) on the other.

The slot takes TPDUs of T=0, so a T=0 interface lies between: what the card answers is fetched with GET RESPONSE, and a
wrong Le is corrected with 6Cxx. QEMU tells the card neither resets nor power.
"""

import os
import select
import socket
import struct
import subprocess
import threading
import time

INIT, READER_ADD, ATR, REMOVE, APDU = 1, 3, 5, 6, 7
RESET, GET_ATR = b"\x02", b"\x04"
GET_RESPONSE = 0xC0
WRONG_LENGTH = b"\x67\x00"
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


class T0:
    """T=0 in front of a card that takes APDUs. `le` is what becomes of an Le behind data, which T=0 has no place for:
    `ignore`, `refuse` (6700), or `take`, as no card on a wire can."""

    def __init__(self, ask, le):
        self.ask, self.le = ask, le
        self.waiting, self.status, self.asked = b"", b"", None

    def exchange(self, tpdu):
        if len(tpdu) < 4:
            return WRONG_LENGTH
        head, p3 = tpdu[:4], tpdu[4] if len(tpdu) > 4 else 0
        if len(tpdu) <= 5:
            wanted = p3 or 256
            if self.waiting and (tpdu[1] == GET_RESPONSE or self.asked == head):
                return self.give(wanted)
            self.take(head, self.ask(tpdu[:5]))
            if not self.waiting:
                return self.status
            if p3 == 0 and len(self.waiting) == 256:
                return self.give(256)
            # Case 2: as many bytes as P3 says, or else the correct length (6Cxx).
            return self.give(wanted) if wanted <= len(self.waiting) else self.right_length()
        more = len(tpdu) - 5 - p3
        if p3 == 0 or more not in (0, 1):
            return WRONG_LENGTH
        if more == 1 and self.le == "refuse":
            return WRONG_LENGTH
        take = more == 1 and self.le == "take"
        answer = self.ask(tpdu if take else tpdu[: 5 + p3])
        self.take(head, answer)
        if take:
            self.waiting = b""
            return answer
        return self.more() if self.waiting else self.status

    def take(self, head, answer):
        self.waiting, self.status, self.asked = answer[:-2], answer[-2:], head

    def more(self):
        return bytes((0x61, len(self.waiting) % 256 if len(self.waiting) <= 256 else 0))

    def right_length(self):
        return bytes((0x6C, len(self.waiting) % 256))

    def give(self, wanted):
        if wanted > len(self.waiting):
            return self.right_length()
        piece, self.waiting = self.waiting[:wanted], self.waiting[wanted:]
        return piece + (self.more() if self.waiting else self.status)


class Card:
    """A token in software for the slot of one reader. It keeps its data in `state`."""

    def __init__(self, qemu, rollcall, state, log, le):
        self.le, self.log = le, open(log, "w", encoding="ascii", buffering=1)  # noqa: SIM115
        self.lock = threading.RLock()
        self.inside = self.laid = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.process = subprocess.Popen(
            [*DIES_WITH_US, rollcall, "virtual-token", "--connect", address, "--state", state],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "ROLLCALL_HOME": os.path.dirname(state)},
        )
        self.listener.settimeout(30)
        self.token = self.listener.accept()[0]
        self.token.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.qemu = socket.socket(socket.AF_UNIX)
        self.qemu.connect(qemu)
        self.t0 = None
        self.exchanges, self.last = 0, 0.0
        self.stopped, self.wake = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._send(INIT, b"VSCD" + struct.pack(">II", 2, 0), 0xFFFFFFFF)
        self.thread.start()

    def lay(self):
        """Into the slot, when there is one; it stays there over unplugging."""
        with self.lock:
            self.laid = True
            self._insert()

    def lift(self):
        with self.lock:
            self.laid = False
            if self.inside:
                self.inside = False
                self._send(REMOVE)
                self._say("lifted")

    def end(self):
        os.write(self.wake, b".")
        self.thread.join(10)
        self.process.terminate()
        self.process.wait(10)

    def _say(self, what, data=b""):
        self.log.write(f"{time.time():.3f} {what} {len(data)} {data.hex()}\n")

    def _send(self, kind, data=b"", reader=0):
        self.qemu.sendall(struct.pack(">III", kind, reader, len(data)) + data)

    def _ask(self, frame):
        self.token.sendall(struct.pack(">H", len(frame)) + frame)
        return whole(self.token, struct.unpack(">H", whole(self.token, 2))[0])

    def _insert(self):
        if self.laid and not self.inside:
            self.inside = True
            # A reset: the previous session is gone.
            self.token.sendall(struct.pack(">H", 1) + RESET)
            self.t0 = T0(self._ask, self.le)
            self._send(ATR, self._ask(GET_ATR))
            self._say("laid down")

    def _run(self):
        try:
            while self.stopped not in select.select([self.qemu, self.stopped], [], [])[0]:
                kind, _, length = struct.unpack(">III", whole(self.qemu, 12))
                data = whole(self.qemu, length)
                with self.lock:
                    self._from_qemu(kind, data)
        except (EOFError, OSError) as e:
            self._say(f"ended ({e})")

    def _from_qemu(self, kind, data):
        if kind == INIT:  # a reader has come to be
            self._say("reader")
            self._send(READER_ADD, b"x")
            self.inside = False
            self._insert()
        elif kind == APDU:
            began = time.monotonic()
            self._say(">", data)
            answer = self.t0.exchange(data) if self.inside else b"\x6f\x00"
            self.exchanges, self.last = self.exchanges + 1, time.monotonic()
            self._say(f"< {1000 * (self.last - began):.0f} ms", answer)
            self._send(APDU, answer)


def whole(sock, length):
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise EOFError("closed")
        data += part
    return data
