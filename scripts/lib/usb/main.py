"""scripts/lab-usb: the steps, and their table. See the script for its usage."""

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
import time

import steps
from card import Card
from guest import Guest, Stream
from machine import READERS, Machine, Trouble

CONFIG = 78


class Table:
    """What was found, line by line, shown as it comes and once more at the end."""

    def __init__(self):
        self.rows, self.passed, self.failed, self.step = [], 0, 0, ""

    def row(self, what, ok, result):
        """A check; `ok` is None for a figure."""
        self.passed += ok is True
        self.failed += ok is False
        verdict = {True: "pass", False: "FAIL", None: "    "}[ok]
        line = f"{verdict}  {self.step:<8} {what:<52} {result}".rstrip()
        self.rows.append(line)
        print(line, flush=True)


class Lab:
    """The guest with its readers and cards."""

    def __init__(self, given, table, sockets):
        self.given, self.table, self.sockets = given, table, sockets
        self.folder = given.out
        self.cards, self.list, self.machine, self.guest = [], {}, None, None

    def begin(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        given = self.given
        accel = given.accel or ("tcg,thread=single" if given.steady else "tcg,thread=multi")
        self.machine = Machine(given.image, self.folder, self.sockets, port, accel, given.steady)
        self.guest = Guest(os.path.join(given.image, "key"), port, self.sockets)
        for number in range(READERS - 1):
            state = os.path.join(self.sockets, f"token{number}")
            log = os.path.join(self.folder, f"card{number}.log")
            self.cards.append(Card(self.machine.card_socket(number), given.rollcall, state, log, given.le))
        began = time.monotonic()
        self.machine.run()
        self.up()
        self.table.row("the guest boots", True, f"{time.monotonic() - began:.0f} s")

    def up(self):
        self.machine.await_mark("up", 900)
        self.guest.must("true", 300)

    def seconds(self, count):
        """A limit of this emulated machine, which is slow and shares its host."""
        return count * self.given.patience

    def now(self):
        return time.monotonic()

    def pause(self, seconds):
        """Between two looks at what cannot be waited for."""
        time.sleep(seconds)

    def stream(self, *arguments):
        return Stream(self.guest, os.path.join(self.folder, f"{arguments[0]}.log"), *arguments)

    def watch(self):
        return self.stream("watch", "-o", "ndjson")

    def plug(self, number):
        if number not in self.machine.plugged:
            self.machine.plug(number)

    def end(self):
        if self.guest:
            self.guest.forget()
        for card in self.cards:
            card.end()
        if self.machine:
            self.machine.end()


def arguments():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", action="append", choices=list(steps.STEPS), default=[])
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--plugs", type=int, default=50)
    parser.add_argument("--le", choices=["ignore", "refuse", "take"], default="ignore")
    parser.add_argument("--accel")
    parser.add_argument("--steady", action="store_true")
    parser.add_argument("--patience", type=float, default=2.0)
    parser.add_argument("--check", action="store_true")
    for name in ("--out", "--image", "--package", "--rollcall"):
        parser.add_argument(name)
    return parser.parse_args()


def run(lab, wanted):
    lab.table.step = "prepare"
    lab.begin()
    steps.prepare(lab)
    for name in wanted:
        lab.table.step = name
        try:
            steps.STEPS[name](lab)
        except Trouble as trouble:
            lab.table.row("the step came to its end", False, str(trouble))
        steps.tidy(lab)


def main():
    given = arguments()
    if given.check:
        return 0
    if not shutil.which("qemu-system-x86_64"):
        print("error: there is no qemu-system-x86_64\nhint: apt-get install qemu-system-x86", file=sys.stderr)
        return CONFIG
    os.makedirs(given.out, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    table = Table()
    # Socket paths must be short; those of checkouts may not be.
    with tempfile.TemporaryDirectory(prefix="lab-usb-") as sockets:
        lab = Lab(given, table, sockets)
        try:
            run(lab, [name for name in steps.STEPS if not given.only or name in given.only])
            if given.keep:
                print(f"\nThe guest stays until Ctrl-C. Into it: {' '.join(lab.guest.argv)}", flush=True)
                signal.pause()
        except Trouble as trouble:
            table.row("the laboratory", False, str(trouble))
        except KeyboardInterrupt:
            table.row("interrupted", None, "")
        finally:
            lab.end()
    print(f"\n==== lab-usb: logs in {given.out}")
    print("\n".join(table.rows))
    print(f"\n{table.passed} passed, {table.failed} failed")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
