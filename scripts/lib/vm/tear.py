"""Tearing: looks at the EEPROM in the middle of a command, again and again, and goes on with what it was at one moment.

The EEPROM is an array in the machine's memory, read from outside (/proc/PID/mem) while the process is stopped. The
machine is slowed down so that no state is missed: it traces its native calls (-n) into a pipe that is full, and every
line that we take out lets it run to its next native call; copying, filling and writing of arrays are such calls.
"""

import os
import select
import signal
import threading
import time

# Size of a piece of the image that no command changes (from the packages), by which an image is found.
PIECE = 64
SAME = 0.98
PATIENCE = 120.0


class NotFound(Exception):
    """The EEPROM is not where it is looked for."""


class Trace:
    """The pipe into which a machine traces: emptied by a thread, but while it is held."""

    def __init__(self):
        # A packet pipe: it is full after a fixed number of writes, however short, and each read makes room for one.
        self.read_end, self.write_end = os.pipe2(os.O_DIRECT)
        os.set_blocking(self.read_end, False)
        self.lock = threading.Lock()
        self.closed = False
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        while not self.closed:
            readable = select.select([self.read_end], [], [], 0.2)[0]
            with self.lock:
                while readable and not self.closed and self.take():
                    pass

    def take(self):
        """One line; nothing where there is none."""
        try:
            return os.read(self.read_end, 4096)
        except BlockingIOError:
            return b""

    def is_full(self):
        return not select.select([], [self.write_end], [], 0)[1]

    def fill(self):
        """Leaves no room for a line."""
        while not self.is_full():
            os.write(self.write_end, b"\n")

    def close(self):
        with self.lock:
            self.closed = True
            os.close(self.read_end)
            os.close(self.write_end)


def find(machine, image):
    """The address of the EEPROM in the machine's process."""
    at = next(
        (
            at
            for at in range(0x4000, 0xF000, PIECE)
            if len(set(image[at : at + PIECE])) > 20 and image.count(image[at : at + PIECE]) == 1
        ),
        None,
    )
    if at is None:
        raise NotFound("the image has no piece of its own")
    piece, pid = image[at : at + PIECE], machine.process.pid
    with open(f"/proc/{pid}/maps", encoding="latin-1") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            low, high = (int(part, 16) for part in where.split("-"))
            if "rw" not in rights or high - low > 1 << 28:
                continue
            try:
                memory.seek(low)
                data = memory.read(high - low)
            except OSError:
                continue
            found = data.find(piece)
            while found >= 0:
                start = found - at
                if start >= 0 and start + len(image) <= len(data):
                    same = sum(a == b for a, b in zip(data[start : start + len(image)], image))
                    if same > SAME * len(image):
                        return low + start
                found = data.find(piece, found + 1)
    raise NotFound("no memory of the process looks like the image")


def changes(one, other):
    """How many bytes differ."""
    differ = (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
    return len(one) - differ.count(0)


def states(card, apdu):
    """Sends a command and yields (image, whether the answer has come) whenever the EEPROM is another one.

    The first is that before the command. The machine stands still while the caller looks. Whoever stops asking, or
    gets to the end, ends the machine: the card has no power then.
    """
    machine = card.machine
    with open(card.path, "rb") as file:
        image = file.read()
    address, pid, sock, trace = find(machine, image), machine.process.pid, machine.link.sock, machine.trace
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        last = os.pread(memory, len(image), address)
        yield last, False
        go = machine.link.begin(apdu)
        with trace.lock:
            trace.fill()
            go()
            end, answered = time.monotonic() + PATIENCE, False
            while not answered:
                while not trace.is_full() and not answered:
                    answered = bool(select.select([sock], [], [], 0.0002)[0])
                    if time.monotonic() > end:
                        raise NotFound("the command does not end")
                os.kill(pid, signal.SIGSTOP)
                os.waitpid(pid, os.WUNTRACED)
                answered = bool(select.select([sock], [], [], 0)[0])
                now = os.pread(memory, len(image), address)
                if now != last:
                    last = now
                    yield now, answered
                os.kill(pid, signal.SIGCONT)
                trace.take()
    finally:
        os.close(memory)
        card.lose()


def tear(card, apdu, after):
    """Tears a command when `after` bytes have changed, or when the answer comes. The card is on again afterwards.

    Returns (whether the answer had come, bytes changed).
    """
    before = None
    for image, answered in states(card, apdu):
        before = before or image
        changed = changes(image, before)
        if changed >= after or answered:
            break
    card.restore(image)
    return answered, changed
