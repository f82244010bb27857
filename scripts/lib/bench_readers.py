"""Tokens a minute at several readers, for scripts/bench --readers. Runs inside scripts/with-readers --card none.

Somebody with quick hands changes the cards: when the program has printed the object of a card, that card is lifted and the
next one put down. The card's time is what `rollcall virtual-token --delay` says that it was busy."""

import argparse
import csv
import json
import os
import platform
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

_LIMIT = 300
_BUSY = re.compile(r"busy for (\d+) µs")
_HOST = "127.0.0.1"


class Card:
    """One token in software, in a reader as long as its process runs."""

    def __init__(self, folder, number, port, delay):
        self.log = os.path.join(folder, f"{number}.log")
        argv = ["rollcall", "--verbose", "virtual-token", "--connect", f"{_HOST}:{port}",
                "--state", os.path.join(folder, f"{number}.json"), "--start-key-file", start_key()]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv + (["--delay", delay] if delay else []),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def lift(self):
        """Takes it out, and returns for how many seconds it was busy."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=_LIMIT)
        with open(self.log, encoding="utf-8") as log:
            return sum(map(int, _BUSY.findall(log.read()))) / 1e6


def start_key():
    return os.path.join(os.environ["ROLLCALL_HOME"], "pki", "start.key")


class Hands:
    """Puts cards down and lifts them: the next one only when the reader is seen to be empty, as with any real card."""

    def __init__(self, folder, readers, count, delay):
        self.folder, self.readers, self.delay = folder, readers, delay
        self.waiting, self.cards, self.lifted, self.busy = iter(range(count)), {}, set(), 0.0

    def put(self, reader):
        number = next(self.waiting, None)
        if number is not None:
            self.cards[reader] = Card(self.folder, number, self.readers[reader], self.delay)

    def lift(self, reader):
        self.busy += self.cards.pop(reader).lift()
        self.lifted.add(reader)

    def gone(self, reader):
        if reader in self.lifted:
            self.lifted.discard(reader)
            self.put(reader)


def told(process, news):
    """A thread that passes on the objects which a process prints."""
    def listen():
        for found in process.stdout:
            news.put(json.loads(found))
    threading.Thread(target=listen, daemon=True).start()


def run(command, folder, readers, count, delay):
    """Runs a command that prints an object for each card, with a card in every reader until `count` have been there."""
    hands, news, served, took = Hands(folder, readers, count, delay), queue.SimpleQueue(), 0, 0.0
    eyes = subprocess.Popen(["rollcall", "readers", "--watch", "--output", "ndjson"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with open(os.path.join(folder, "stderr"), "w+b") as stderr:
        told(eyes, news)
        terminal = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)
        began = time.monotonic()
        for reader in readers:
            hands.put(reader)
        told(terminal, news)
        # Wait until even the last cards are seen to be gone, before others are put there.
        while served < count or hands.lifted:
            found = news.get(timeout=_LIMIT)
            if found["schema"] in ("rollcall.event/1", "rollcall.reader/1"):
                if found.get("state") == "empty":
                    hands.gone(found["reader"])
                continue
            if found.get("error"):
                terminal.kill()
                sys.exit(f"bench: {found}")
            took = time.monotonic() - began
            served += 1
            hands.lift(found["reader"])
        _, status, usage = os.wait4(terminal.pid, 0)
        eyes.terminate()
        eyes.wait()
        if status != 0 or served != count:
            stderr.seek(0)
            sys.exit(f"bench: {' '.join(command)}: status {status}, {served} of {count}\n{stderr.read().decode()}")
    return {"tokens": count, "seconds": took, "card_seconds": hands.busy / count,
            "cpu_seconds": (usage.ru_utime + usage.ru_stime) / count}


def both(folder, readers, count, delay):
    """Enrolls so many blank cards, then reads them all."""
    rows = os.path.join(folder, "users.csv")
    with open(rows, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name", "room"])
        writer.writerows([f"{os.path.basename(folder)}-{n}", f"Ada Lovelace {n}", "B17"] for n in range(count))
    output = ["--output", "ndjson"]
    return {"enrolled": run(["rollcall", "enroll", "--yes", "--from", rows, *output], folder, readers, count, delay),
            "read": run(["rollcall", "scan", "--count", str(count), *output], folder, readers, count, delay)}


def line(readers, what, timed, unhindered):
    """A row of the table."""
    rate = 60 * timed["tokens"] / timed["seconds"]
    bound = 60 * readers / timed["card_seconds"]
    rest = readers * unhindered["seconds"] / unhindered["tokens"]
    return (f"| {readers} | {what} | {rate:.0f} | {bound:.0f} | {rate / bound:.0%} | {timed['card_seconds'] * 1000:.0f} ms "
            f"| {rest * 1000:.0f} ms | {timed['cpu_seconds'] * 1000:.0f} ms |")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench --readers", allow_abbrev=False)
    parser.add_argument("--counts", default="1,2,4,8")
    parser.add_argument("--each", type=int, default=10, help="tokens for each reader")
    parser.add_argument("--json")
    options = parser.parse_args()
    counts = [int(count) for count in options.counts.split(",")]

    listing = subprocess.run(["rollcall", "readers", "--output", "ndjson"], capture_output=True, check=True, timeout=_LIMIT)
    names = [json.loads(found)["reader"] for found in listing.stdout.splitlines()]
    places = dict(zip(names, os.environ["VPCD_PORTS"].split()))
    subprocess.run(["rollcall", "pki", "init"], capture_output=True, check=True, timeout=_LIMIT)
    results = []
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.each} tokens for each reader, load {os.getloadavg()[0]:.1f}")
    print("| readers | what | tokens a minute | the cards' bound | reached | card's time | changing cards and host | host CPU |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for count in counts:
        readers = dict(list(places.items())[:count])
        with tempfile.TemporaryDirectory() as timed, tempfile.TemporaryDirectory() as unhindered:
            slow = both(timed, readers, count * options.each, "j3r180")
            fast = both(unhindered, readers, count * options.each, None)
        results.append({"readers": count, "j3r180": slow, "without_delay": fast})
        for what in ("enrolled", "read"):
            print(line(count, what, slow[what], fast[what]), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
