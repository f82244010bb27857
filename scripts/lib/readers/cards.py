"""The cards that lie on the readers: programs that connect to vpcd's ports.

What a card program has to do: connect to its port, and try again every 100 ms or so while nobody listens there (pcscd
may be stopped and started). One that ends by itself when its connection breaks is started again, if its kind keeps its
memory in a file.
"""

import os
import signal
import socket
import sys

from process import Process

_HERE = os.path.dirname(os.path.abspath(__file__))
_ENDS_WITHIN = 3.0


class Card:
    """One reader's card. `number` is the reader's, from 1."""

    restartable = True
    slow_to_start = False  # started together with pcscd, before its ports are open

    def __init__(self, number, port, stack):
        self.number = number
        self.address = f"127.0.0.1:{port}"
        self.stack = stack
        self.process = None
        self.inserted = False
        self.muted = False
        self.generation = 0
        self.fresh = False

    def argv(self):
        raise NotImplementedError

    def state_file(self):
        return os.path.join(self.stack.folder, "cards", f"{self.number:02}-{self.generation}.state")

    def spawn(self):
        log = os.path.join(self.stack.logs, f"card-{self.number:02}.log")
        self.process = Process(self.argv(), self.stack.card_env(), log=log)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def insert(self):
        if not self.inserted:
            self.spawn()
        self.inserted = True

    def remove(self):
        self.inserted = False
        self.unmute()
        if self.process is not None:
            self.process.end(_ENDS_WITHIN)
            self.process = None

    def new(self):
        """A fresh blank card for the next insertion."""
        if self.inserted:
            raise ValueError("remove the card first")
        self.generation += 1

    def mute(self):
        if not self.alive() or not self.inserted:
            raise ValueError(f"there is no card on reader {self.number}")
        self.process.send(signal.SIGSTOP)
        self.muted = True

    def unmute(self):
        if self.muted and self.alive():
            self.process.send(signal.SIGCONT)
        self.muted = False

    def look_after(self, pcscd_runs):
        """Called now and then: a card that ended by itself comes back, if it can."""
        if self.process is None or self.process.poll() is None:
            return
        if self.restartable and self.inserted:
            if pcscd_runs:
                self.spawn()
            return
        tail = self.process.log_tail()
        print(f"with-readers: the card on reader {self.number} ended by itself, "
              f"status {self.process.status}\n{tail}", file=sys.stderr, flush=True)
        self.process, self.inserted = None, False

    def end(self):
        if self.process is not None:
            self.process.end()


class Virtual(Card):
    """`rollcall virtual-token`: its memory is a file."""

    def argv(self):
        argv = [self.stack.rollcall, "virtual-token", "--connect", self.address, "--state", self.state_file()]
        if self.stack.start_key_file:
            argv += ["--start-key-file", self.stack.start_key_file]
        return argv


class Foreign(Card):
    """A card that is none of ours: it has an ATR and answers 6D00."""

    def argv(self):
        return [sys.executable, "-E", "-s", "-S", os.path.join(_HERE, "foreign_card.py"), self.address]


class Applet(Card):
    """The JavaCard applet in the simulator: its memory is its process, and it takes commands on a UNIX socket."""

    restartable = False
    slow_to_start = True

    def control_path(self):
        return os.path.join(self.stack.folder, "cards", f"{self.number:02}.control")

    def argv(self):
        argv = [*self.stack.bridge, "--connect", self.address, "--control", self.control_path()]
        if self.stack.start_key_file:
            argv += ["--start-keys-file", self.stack.start_key_file]
        return argv

    def tell(self, command):
        """Have the bridge do something, and wait for its answer; not for one that needs a reader that is not there."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(15)
                link.connect(self.control_path())
                link.sendall(f"{command}\n".encode())
                if command != "remove" and not self.stack.pcscd.running():
                    return
                answer = link.makefile(encoding="utf-8").readline().strip()
        except OSError as error:
            answer = f"error {error}"
        if answer != "ok":
            raise ValueError(f"card {self.number}, {command}: {answer or 'no answer'}")

    def insert(self):
        if self.process is None:
            self.spawn()  # it starts inserted, and blank
        elif not self.inserted:
            self.tell("new" if self.fresh else "insert")
        self.fresh = False
        self.inserted = True

    def remove(self):
        self.unmute()
        if self.inserted and self.alive():
            self.tell("remove")
        self.inserted = False

    def new(self):
        super().new()
        self.fresh = True


KINDS = {"applet": Applet, "virtual": Virtual, "foreign": Foreign, "none": None}
