"""The process that owns a stack: pcscd, the cards, and the socket that `card` and `pcsc-stack` talk to.

It lives in a session of its own and ends, with everything it started, when its end of the pipe from with-readers
closes, for whatever reason.
"""

import os
import select
import signal
import socket
import sys
import time

import process
from cards import KINDS
from drivers import make
from pcscd import Pcscd
from ports import Lease

_HERE = os.path.dirname(os.path.abspath(__file__))
_ATTEMPTS = 5
_LOOK_AFTER_EVERY = 0.1


class Failed(Exception):
    """The stack cannot be; the text says why."""


class Stack:
    def __init__(self, folder, options, settings):
        self.folder = folder
        self.logs = options.logs or os.path.join(folder, "log")
        self.kinds = options.kinds
        self.readers = options.readers
        self.start_key_file = options.start_key_file
        self.rollcall = settings["rollcall"]
        self.bridge = settings["bridge"]
        self.patience = options.patience
        os.makedirs(self.logs, exist_ok=True)
        os.makedirs(os.path.join(folder, "cards"), mode=0o700)
        self.driver = make(options, folder, self.logs)
        self.pcscd = Pcscd(folder, self.logs, settings["preload"], self.driver, options.polkit)
        self.lease = None
        self.cards = []

    def card_env(self):
        return {**os.environ, process.MARK: process.inner(self.folder)}

    def start(self, abandoned):
        """Bring everything up; `abandoned()` says whether with-readers has gone."""
        for attempt in range(1, _ATTEMPTS + 1):
            self.lease = Lease((self.readers + 1) // 2)
            self.driver.start(self.ports(), {**os.environ, process.MARK: process.inner(self.folder)})
            self.pcscd.configure(self.ports())
            self.pcscd.start()
            self.cards = [kind(number, port, self) if kind else None
                          for number, (port, kind) in enumerate(zip(self.ports(), map(KINDS.get, self.kinds)), start=1)]
            for card in filter(None, self.cards):
                if card.slow_to_start:
                    card.insert()
            if self.await_state(10, [], abandoned):
                break
            if not self.pcscd.running():
                raise Failed(self.pcscd.failure())
            if attempt == _ATTEMPTS:
                raise Failed(f"pcscd does not show {self.readers} readers\n{self.pcscd.process.log_tail()}")
            self.end()  # another program took one of the ports: choose others
        for card in filter(None, self.cards):
            card.insert()
        present = [f"{card.number}=present" for card in self.cards if card]
        if not self.await_state(self.patience, present, abandoned):
            raise Failed("the cards did not all appear\n" + self.logs_of_cards())

    def ports(self):
        pairs = [port + slot for port in self.lease.first_ports for slot in (0, 1)]
        return pairs[: self.readers]

    def await_state(self, seconds, states, abandoned=lambda: False):
        """Whether pcscd shows all readers, and the states asked for, within the time."""
        env = {**os.environ, "PCSCLITE_CSOCK_NAME": self.pcscd.socket_path, process.MARK: process.inner(self.folder)}
        argv = [sys.executable, "-E", "-s", "-S", os.path.join(_HERE, "pcsc.py"), str(seconds), str(self.readers)]
        waiter = process.Process([*argv, *states], env, log=os.path.join(self.logs, "wait.log"))
        ends = time.monotonic() + seconds + 1
        while waiter.wait(0.1) is None:
            dead = [card for card in self.cards if card and card.inserted and not card.alive()]
            if dead or not self.pcscd.running() or abandoned() or time.monotonic() > ends:
                break
        return waiter.end() == 0

    def logs_of_cards(self):
        lines = [f"card {card.number}: {card.process.log_tail(4)}" for card in self.cards if card and card.process]
        return "\n".join([*lines, self.pcscd.process.log_tail()])

    def end(self):
        for card in filter(None, self.cards):
            card.end()
        self.pcscd.stop(0)
        self.driver.end()
        if self.lease is not None:
            self.lease.release()

    # Requests from `card` and `pcsc-stack`. The first word of the answer is the result; after `ok` come the number of
    # readers and the states the requester has to wait for, or nothing if there is nothing to wait for.

    def answer(self, line):
        try:
            what, verb, *numbers = line.split()
            if what == "card":
                return self.card_command(verb, numbers)
            if what == "reader":
                return self.reader_command(verb, numbers)
            if what == "pcsc-stack" and not numbers:
                return self.pcscd_command(verb)
            return "error unknown command"
        except (ValueError, OSError) as error:
            return "error " + " ".join(str(error).split())

    def card_command(self, verb, numbers):
        if verb not in ("remove", "insert", "new", "mute", "unmute"):
            raise ValueError(f"unknown verb {verb}")
        numbers = self.numbers(numbers)
        for number in numbers:
            if self.cards[number - 1] is None:
                raise ValueError(f"reader {number} has no card of with-readers (--card none)")
        for number in numbers:
            getattr(self.cards[number - 1], verb)()
        if verb in ("mute", "unmute", "new") or not self.pcscd.running():
            return "ok"
        if verb == "remove":
            for number in numbers:
                self.driver.await_absence(number)
        state = "empty" if verb == "remove" else "present"
        return self.ok_once((number, state) for number in numbers)

    def numbers(self, words):
        numbers = range(1, self.readers + 1) if words == ["all"] else [int(word) for word in words]
        for number in numbers:
            if not 1 <= number <= self.readers:
                raise ValueError(f"there is no reader {number}: they are 1 to {self.readers}")
        return numbers

    def reader_command(self, number, words):
        answers = [self.driver.tell(one, " ".join(words)) for one in self.numbers([number])]
        return next((answer for answer in answers if not answer.startswith("ok")), answers[-1])

    def ok_once(self, states):
        return " ".join(["ok", str(self.readers), *(f"{number}={state}" for number, state in states)])

    def pcscd_command(self, verb):
        if verb == "stop":
            self.pcscd.stop()
        elif verb == "kill":
            self.pcscd.stop(0)
        elif verb == "start":
            self.pcscd.start()
            return self.ok_once((card.number, "present") for card in self.cards
                                if card and card.inserted and not card.muted)
        elif verb == "status":
            return f"ok {'running' if self.pcscd.running() else 'stopped'}"
        else:
            raise ValueError(f"unknown verb {verb}")
        return "ok"

    def serve(self, lifeline, control):
        """Answer commands until the lifeline closes."""
        ready = select.poll()
        ready.register(lifeline, select.POLLIN | select.POLLHUP)
        ready.register(control, select.POLLIN)
        while True:
            events = dict(ready.poll(_LOOK_AFTER_EVERY * 1000))
            if lifeline in events:
                return
            if control.fileno() in events:
                self.serve_one(control)
            for card in filter(None, self.cards):
                card.look_after(self.pcscd.running())

    def serve_one(self, control):
        link, _ = control.accept()
        with link:
            link.settimeout(2)
            try:
                line = link.makefile(encoding="utf-8").readline(1000)
                link.settimeout(5)
                link.sendall((self.answer(line) + "\n").encode())
            except OSError:
                pass


def run(lifeline, folder, options, settings, ready):
    """The body of the stack process; `ready(variables)` is called once everything is up. Returns the exit status."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(os.path.join(folder, "control"))
    control.listen(64)
    hangup = select.poll()
    hangup.register(lifeline, select.POLLIN | select.POLLHUP)
    stack = None
    try:
        stack = Stack(folder, options, settings)
        stack.start(lambda: bool(hangup.poll(0)))
        ready({"PCSCLITE_CSOCK_NAME": stack.pcscd.socket_path, "VPCD_PORTS": " ".join(map(str, stack.ports())),
               **stack.driver.variables()})
        stack.serve(lifeline, control)
        return 0
    except (Failed, OSError) as error:
        print(f"with-readers: {error}", file=sys.stderr, flush=True)
        return 69
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if stack is not None:
            stack.end()
