"""scripts/applet-vm: the steps, and their table. See the script for its usage."""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import build
import depth
import figures
import images
import machine
import suite
import tears
import wine
from machine import cap

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = [sys.executable, "-B", "-E", "-s", "-S"]
STEPS = ("figures", "enrol", "flows", "tear", "suite")
# One kind of card per link: with EC private keys in RAM, like the J3R180, and without, like the J3H145.
SHAPES = {1: ("ram", True), 0: ("eeprom", False)}


class Table:
    """What was found, line by line, shown as it comes and once more at the end."""

    def __init__(self):
        self.rows = []
        self.passed = self.failed = 0

    def row(self, step, result, seconds=None, ok=True):
        if ok is not None:
            self.failed += not ok
            self.passed += ok
        took = "" if seconds is None else f"{seconds:.1f} s"
        line = f"{step:<46} {took:>9}  {'' if ok or ok is None else 'FAILED '}{result}".rstrip()
        self.rows.append(line)
        print(line, flush=True)

    def figure(self, step, result, seconds=None):
        """A line that is no check."""
        self.row(step, result, seconds, None)


class Run:
    """One link with one kind of card."""

    def __init__(self, table, given, work, protocol, packages):
        self.table, self.given, self.work, self.protocol, self.packages = table, given, work, protocol, packages
        self.name = f"T={protocol}"
        self.images = images.Images(work, packages, protocol)
        self.folder = os.path.join(given.out, f"t{protocol}")
        os.makedirs(self.folder, exist_ok=True)
        self.variant = os.path.join(self.folder, "variant.json")
        with open(self.variant, "w", encoding="utf-8") as file:
            json.dump(packages, file)

    def empty(self, name):
        folder = os.path.join(self.folder, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder

    def bridge(self, log, *more):
        """The command of a card for vpcd."""
        return [
            *PYTHON,
            os.path.join(HERE, "bridge.py"),
            "--variant",
            self.variant,
            "--protocol",
            str(self.protocol),
            "--log",
            log,
            *more,
        ]

    def figures(self):
        sizes = figures.package_sizes(self.images, cap)
        self.table.figure(
            f"{self.name} package",
            f"{sum(sizes.values()) - sizes['Descriptor']} bytes to load, methods {sizes['Method']}",
        )
        began = time.monotonic()
        for name, used in figures.measure(self.images):
            self.table.figure(f"{self.name} {name}", said(used), time.monotonic() - began)
            began = time.monotonic()
        with (
            open(self.packages["jca"], encoding="latin-1") as one,
            open(self.packages["soft"], encoding="latin-1") as other,
        ):
            listing, soft = one.read(), other.read()
        with_soft = {name: words for name, words, _ in depth.entries(listing, soft)}
        for name, words, chain in depth.entries(listing):
            self.table.figure(
                f"{self.name} words of stack, {name}",
                f"{words} ({with_soft[name]} with P-256 in software): {' > '.join(chain)}",
            )

    def flow(self, name, *arguments, bridge=()):
        """One flow in a stack of its own; its rows, and what its cards used."""
        folder = self.empty(name)
        home, out, log = (os.path.join(folder, part) for part in ("home", "rows", "apdus"))
        os.makedirs(home)
        env = {**os.environ, "ROLLCALL_HOME": home, "ROLLCALL_BIN_RESOLVED": self.given.program}
        made = subprocess.run(
            [self.given.program, "pki", "init"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if made.returncode != 0:
            raise machine.Refused(f"pki init: {made.stdout.decode(errors='replace')}")
        env["ROLLCALL_BRIDGE"] = " ".join(self.bridge(log, *bridge))
        start = os.path.join(home, "pki/start.key")
        # Load beforehand, because loading takes longer than the stack waits for a card.
        self.images.blank(images.start_keys(start))
        readers = [
            *PYTHON,
            os.path.join(HERE, "..", "readers", "main.py"),
            "--readers",
            "1",
            "--card",
            "applet",
            "--start-key-file",
            start,
            "--patience",
            "180",
            "--logs",
            os.path.join(folder, "logs"),
            "--",
        ]
        began = time.monotonic()
        process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "TERM",
                *readers,
                *PYTHON,
                os.path.join(HERE, "flows.py"),
                name,
                out,
                *arguments,
            ],
            env=env,
            stdin=subprocess.DEVNULL,
        )
        seen = 0
        while True:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                pass
            seen = self.rows(out, seen)
            if process.returncode is not None:
                break
        if process.returncode != 0:
            self.table.row(
                f"{self.name} {name}",
                f"the stack ended with status {process.returncode}",
                time.monotonic() - began,
                False,
            )
        self.used(f"{self.name} {name}", log, time.monotonic() - began)

    def rows(self, path, seen):
        if not os.path.exists(path):
            return seen
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")[:-1]
        for line in lines[seen:]:
            row = json.loads(line)
            self.table.row(f"{self.name} {row['step']}", row["result"], row["seconds"], row["ok"])
        return len(lines)

    def used(self, name, log, seconds):
        """The most that any card of these logs used, and every time that the machine fell silent."""
        most, mute = figures.used([log])
        self.table.figure(f"{name}, the most that was used", said(most), seconds)
        for line in mute:
            self.table.row(f"{name}, the machine fell silent", line, None, False)

    def enrol(self):
        self.flow("enrol", str(self.given.count))

    def flows(self):
        self.flow("open")
        self.flow("private")

    def tear(self):
        for case in tears.CASES:
            if not re.search(self.given.only, case[0]):
                continue
            began = time.monotonic()
            try:
                self.table.row(f"{self.name} tear {case[0]}", tears.run(self.images, case), time.monotonic() - began)
            except tears.Broken as broken:
                self.table.row(f"{self.name} tear {case[0]}", str(broken), time.monotonic() - began, False)
        path = os.path.join(self.folder, "tear-now")
        self.flow("tear", str(self.given.tears), path, self.given.only, bridge=("--tear", path))

    def suite(self):
        folder = os.path.join(self.folder, "suite")
        os.makedirs(folder, exist_ok=True)
        began, now = time.monotonic(), time.time()
        for test, result, seconds, ok in suite.run(self, folder, self.given.conformance, self.given):
            self.table.row(f"{self.name} suite {test}", result, seconds, ok)
        logs = (log for log in glob.glob(os.path.join(folder, "*.apdus")) if os.path.getmtime(log) > now)
        most, mute = figures.used(logs)
        self.table.figure(f"{self.name} suite, the most that was used", said(most), time.monotonic() - began)
        for line in mute:
            self.table.figure(f"{self.name} suite, the machine fell silent", line)


def said(used):
    """Figures in one line, with the limits of the reference implementation."""
    return ", ".join(
        f"{name} {value}" + (f" of {machine.LIMITS[name]}" if name in machine.LIMITS else "")
        for name, value in used.items()
    )


def parse():
    parser = argparse.ArgumentParser(prog="scripts/applet-vm", add_help=False, allow_abbrev=False)
    parser.add_argument("--applet", default=os.path.join(build.ROOT, "applet"), type=os.path.abspath)
    parser.add_argument("--out", type=os.path.abspath)
    parser.add_argument("--link", choices=("0", "1", "both"), default="both")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--tears", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--program")
    parser.add_argument("--conformance")
    parser.add_argument("steps", nargs="*", choices=(*STEPS, []))
    return parser.parse_args()


def main():
    given = parse()
    given.out = given.out or os.path.join(given.applet, "target", "vm")
    kit = build.Kit(os.environ.get("JC_HOME"))
    work = wine.Wine()
    if given.check:
        return False
    for protocol in SHAPES:
        work.bring(os.path.join(kit.home, "bin", f"cref_t{protocol}.exe"))
    table = Table()
    for protocol, (shape, transient) in SHAPES.items():
        if given.link not in ("both", str(protocol)):
            continue
        began = time.monotonic()
        packages = build.make(kit, given.applet, os.path.join(given.out, shape), transient)
        table.row(
            f"T={protocol} convert and verify ({shape})",
            f"{packages['calls']} calls of factories replaced, no warning{'' if packages['now'] else ' (done before)'}",
            time.monotonic() - began,
        )
        run = Run(table, given, work, protocol, packages)
        for step in given.steps or STEPS:
            getattr(run, step)()
    print("\n==== table")
    print("\n".join(table.rows))
    print(f"{table.passed} passed, {table.failed} failed")
    return table.failed > 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except wine.Missing as missing:
        print(f"error: {missing}\nhint: {missing.hint}", file=sys.stderr)
        sys.exit(wine.CONFIG)
    except (build.BuildError, machine.Refused) as failed:
        print(f"error: {failed}", file=sys.stderr)
        sys.exit(1)
