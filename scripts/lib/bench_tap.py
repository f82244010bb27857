"""Full taps beside resumed ones, for scripts/bench --tap. Runs inside scripts/with-readers --readers 2 --card none.

Two tokens in software, each in a reader of its own, put down and lifted in turn while `rollcall watch` runs: it resumes at
the first reader and never at the second. Both take as long as published for one card; then for the other."""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

from bench import objects, percentile, rollcall

_LIMIT = 60
# A resumed tap's time after connecting, at most, as a share of a full tap's.
_CARDS = {"j3r180": 0.35, "j3h145": 0.40}
# The median host overhead allowed for a resumed tap, in ms.
_HOST = 1.0
_TOLD = re.compile(r"(?P<exchanges>\d+) exchanges, (?P<card>[\d.]+) ms at the card; "
                   r"connect (?P<connect>[\d.]+) ms, .*total (?P<total>[\d.]+) ms(?P<resumed>, resumed)?")


class Card:
    """A token in a reader, as long as its process runs."""

    def __init__(self, state, port, delay=None):
        start_key = os.path.join(os.environ["ROLLCALL_HOME"], "pki", "start.key")
        argv = ["rollcall", "virtual-token", "--connect", f"127.0.0.1:{port}", "--state", state,
                "--start-key-file", start_key, *(["--delay", delay] if delay else [])]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def lift(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=_LIMIT)


def until_there(reader):
    """Returns when the service has seen the card."""
    ends = time.monotonic() + _LIMIT
    while time.monotonic() < ends:
        if any(one["reader"] == reader and one["atr"] for one in objects("readers")):
            return
    sys.exit(f"bench: no card came into {reader}")


class Watch:
    """A watch that tells of each tap where the time went."""

    def __init__(self):
        self.process = subprocess.Popen(["rollcall", "--verbose", "watch", "--plain"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def tap(self, reader):
        for line in self.process.stderr:
            found = _TOLD.search(line)
            if found and reader in line:
                return {"exchanges": int(found["exchanges"]), "resumed": found["resumed"] is not None,
                        **{name: float(found[name]) for name in ("card", "connect", "total")}}
        return sys.exit("bench: the watch has ended")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=_LIMIT)


def taps(card, places, folder, runs):
    """So many full and resumed taps of cards that are as fast as this one, in turn."""
    states = []
    for number, (reader, port) in enumerate(places):
        states.append(os.path.join(folder, f"{card}-{number}.json"))
        blank = Card(states[-1], port)
        until_there(reader)
        rollcall("enroll", "--yes", "--reader", reader, "--id", f"{card}-{number}", "--name", "Bench Mark")
        blank.lift()
    watch, found = Watch(), {True: [], False: []}
    # The first run of each learns the certificates and the key.
    for run in range(runs + 1):
        for state, (reader, port) in zip(states, places):
            there = Card(state, port, card)
            tap = watch.tap(reader)
            there.lift()
            if run > 0 and (tap["resumed"] or reader == places[1][0]):
                found[tap["resumed"]].append(tap)
    watch.end()
    return found


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench --tap", allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs: at least 1")

    names = [one["reader"] for one in objects("readers")]
    places = list(zip(names, os.environ["VPCD_PORTS"].split()))[:2]
    rollcall("pki", "init")
    with open(os.path.join(os.environ["ROLLCALL_HOME"], "config.toml"), "w", encoding="utf-8") as file:
        file.write(f'[presence]\ndefault = "toggle"\nmin_stay = "0s"\n[resume]\n{json.dumps(places[0][0])} = true\n')
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.runs} taps each, load {os.getloadavg()[0]:.1f}")
    print("| card | tap | exchanges | tap p50 | p99 | at the card p50 | host p50 | of the full tap | at most |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    results, failed = {}, False
    for card, most in _CARDS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = taps(card, places, folder, options.runs)
        rows = {}
        for resumed, all_of_them in found.items():
            if not all_of_them:
                sys.exit(f"bench: no tap was {'resumed' if resumed else 'a full one'}")
            time = [tap["total"] - tap["connect"] for tap in all_of_them]
            rows["resumed" if resumed else "full"] = {
                "n": len(time), "p50": percentile(time, 0.5), "p99": percentile(time, 0.99),
                "card": percentile([tap["card"] for tap in all_of_them], 0.5),
                "host": percentile([tap["total"] - tap["connect"] - tap["card"] for tap in all_of_them], 0.5),
                "exchanges": sorted({tap["exchanges"] for tap in all_of_them})}
        share = rows["resumed"]["p50"] / rows["full"]["p50"]
        failed |= share > most or rows["resumed"]["exchanges"] != [3] or rows["resumed"]["host"] > _HOST
        for name in ("full", "resumed"):
            row, last = rows[name], (f"{share:.2f} | {most:.2f}" if name == "resumed" else " | ")
            print(f"| {card} | {name} | {', '.join(map(str, row['exchanges']))} | {row['p50']:.1f} ms | {row['p99']:.1f} ms "
                  f"| {row['card']:.1f} ms | {row['host']:.2f} ms | {last} |", flush=True)
        results[card] = {**rows, "share": share}
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    if failed:
        sys.exit("bench: a resumed tap takes longer than it may, at the card or in the host, or has another number of exchanges than 3")


if __name__ == "__main__":
    main()
