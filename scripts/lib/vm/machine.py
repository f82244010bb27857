"""A card on the reference implementation: one process from power-up to power-down, its EEPROM in a file."""

import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import cap  # noqa: E402
import link  # noqa: E402
import tear  # noqa: E402

# The AIDs of the reference implementation's installer (see its user guide) and of our applet.
INSTALLER = bytes.fromhex("A00000006203010801")
AID = bytes.fromhex("F0524F4C4C43414C4C01")
# The mark in a blank card's EEPROM that is replaced by the card's own seed (SoftRandom.java).
MARK = bytes(0xA5 ^ i for i in range(32))
# The figures the machine prints when it ends: name and pattern.
SAYS = {
    "stack": r"Stack:\s+(\d+)",
    "eeprom": r"EEPROM:\s+(\d+)",
    "commit": r"Transaction buffer:\s+(\d+)",
    "reset": r"Clear-On-Reset RAM:\s+(\d+)",
    "deselect": r"Clear-On-Deselect RAM:\s+(\d+)",
}
LIMITS = {"stack": 384, "commit": 3560, "deselect": 1440}


def figures(said):
    """The resources that it had used when it ended, in bytes; the block at its start holds what the image held."""
    _, _, last = said.rpartition("Resources consumed")
    found = {name: re.search(pattern, last) for name, pattern in SAYS.items()}
    return {name: int(match[1]) for name, match in found.items() if match}


class Refused(Exception):
    """The card refused what it must take."""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Machine:
    """One process of cref. It ends at power-down, or when its client goes away."""

    def __init__(self, wine, protocol, image=None, out=None, trace=None):
        self.wine = wine
        self.trace = trace
        self.protocol = protocol
        wine.keep()
        port = free_port()
        self.name = out or f"none-{os.getpid()}"
        self.logname = os.path.join(wine.work, f"{self.name}.log")
        args = ["-nobanner", "-z", "-p", str(port)]
        if image:
            args += ["-i", image]
        if out:
            args += ["-o", out]
        if trace:
            args.append("-n")
        with open(self.logname, "wb") as log:
            said = trace.write_end if trace else log
            # The kernel kills it when we end, for whatever reason.
            self.process = subprocess.Popen(
                [
                    shutil.which("setpriv") or "/usr/bin/setpriv",
                    "--pdeathsig",
                    "KILL",
                    "--",
                    *wine.argv(f"cref_t{protocol}.exe", *args),
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=wine.work,
            )
        try:
            self.link = link.connect(port, protocol, lambda: self.process.poll() is None)
            self.atr = self.link.power_up()
        except link.Mute:
            self.kill()
            raise

    def power_down(self):
        """Ends it in order; what it said about its resources."""
        self.link.power_down()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
        self.link.sock.close()
        if self.trace:
            self.trace.close()
        with open(self.logname, encoding="latin-1") as log:
            return log.read()

    def kill(self):
        self.process.kill()
        self.process.wait()
        if hasattr(self, "link"):
            self.link.sock.close()
        if self.trace:
            self.trace.close()

    def last_words(self):
        """How it ended, when it ended by itself, and the end of what it said."""
        try:
            status = self.process.wait(2)
        except subprocess.TimeoutExpired:
            status = "none, it still runs"
        with open(self.logname, encoding="latin-1") as log:
            said = f"status {status}, {' '.join(log.read().split())[-200:]}"
        server = self.wine.last_words()
        return f"{said}; wine's server: {server}" if server else said

    def must(self, apdu):
        answer = self.link.send(apdu)
        if answer[-2:] != b"\x90\x00":
            raise Refused(f"{apdu[:12].hex()}… is answered {answer.hex()}")
        return answer[:-2]

    def load(self, archive, chunk=32):
        """The components of a CAP file, by the installer's commands."""
        self.must(bytes([0, 0xA4, 4, 0, len(INSTALLER)]) + INSTALLER + b"\0")

        def command(ins, p1=0, data=b""):
            self.must(bytes([0x80, ins, p1, 0]) + (bytes([len(data)]) + data if data else b"") + b"\0")

        command(0xB0)
        for name, data in cap.components(archive)[1].items():
            if name == "Descriptor":
                continue
            command(0xB2, cap.TAGS[name])
            for at in range(0, len(data), chunk):
                command(0xB4, cap.TAGS[name], data[at : at + chunk])
            command(0xBC, cap.TAGS[name])
        command(0xBA)

    def create(self, aid=AID, parameters=b""):
        """An instance; parameters as install() takes them: lengths and all."""
        self.must(bytes([0, 0xA4, 4, 0, len(INSTALLER)]) + INSTALLER + b"\0")
        data = bytes([len(aid)]) + aid + bytes([len(parameters)]) + parameters
        self.must(bytes([0x80, 0xB8, 0, 0, len(data)]) + data + b"\0")


class Card:
    """A card with memory of its own, made from an image; reset powers it down and up again."""

    made = 0

    def __init__(self, wine, protocol, image, seed=None, traced=False):
        """`traced`: it can be torn, is slower, and says nothing about its resources."""
        Card.made += 1
        self.wine, self.protocol, self.traced = wine, protocol, traced
        self.name = f"card-{os.getpid()}-{Card.made}.eep"
        self.path = os.path.join(wine.work, self.name)
        with open(os.path.join(wine.work, image), "rb") as file:
            memory = file.read()
        if seed is not None:
            if memory.count(MARK) != 1:
                raise Refused(f"the mark for the seed is {memory.count(MARK)} times in {image}")
            memory = memory.replace(MARK, seed)
        with open(self.path, "wb") as file:
            file.write(memory)
        self.machine = None
        self.used = {}
        self.said = ""
        self.on()

    def on(self):
        for last in (False, False, True):
            trace = tear.Trace() if self.traced else None
            try:
                self.machine = Machine(self.wine, self.protocol, self.name, self.name, trace)
                return
            except link.Mute:
                if trace:
                    trace.close()
                if last:
                    raise

    def lose(self):
        """The field goes: what is in the process is lost, unless somebody took it."""
        if self.machine is not None:
            self.machine.kill()
        self.machine = None

    def restore(self, image):
        """On again, with this memory."""
        with open(self.path, "wb") as file:
            file.write(image)
        self.on()

    def off(self):
        if self.machine is None:
            return
        machine, self.machine = self.machine, None
        self.said = machine.power_down()
        for name, value in figures(self.said).items():
            self.used[name] = max(value, self.used.get(name, 0))

    def reset(self):
        self.off()
        self.on()

    def send(self, apdu):
        return self.machine.link.send(apdu)

    def crashed(self):
        """After Mute: the process goes, its memory file stays what it was at the last power-down. Its last words."""
        words = self.machine.last_words()
        self.machine.kill()
        self.on()
        return words

    def close(self):
        self.off()
        for path in (self.path, self.path + ".log"):
            if os.path.exists(path):
                os.unlink(path)
