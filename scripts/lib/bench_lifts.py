"""The memory of a long `rollcall watch`, for scripts/bench --lifts. Runs inside scripts/with-readers --card virtual.

All cards are lifted and put back at once, again and again, and the memory that is the process's own is read from the
kernel. Nothing may grow with the number of lifts once caches and the allocator's arenas are full: the least square line
through the second half says how many bytes a lift leaves."""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

_LIMIT = 300


def rollcall(*arguments):
    subprocess.run(["rollcall", *arguments], check=True, capture_output=True, timeout=_LIMIT)


def memory(pid):
    """Bytes that only this process has, without files; and its threads."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        anonymous = int(re.search(r"^Anonymous: +(\d+) kB", file.read(), re.M)[1]) * 1024
    return anonymous, len(os.listdir(f"/proc/{pid}/task"))


def await_events(watch, kind, count):
    """Reads events until so many of this kind have come."""
    while count:
        line = watch.stdout.readline()
        if not line:
            sys.exit("bench: the watch ended")
        event = json.loads(line)
        if event["event"] == kind:
            count -= 1
        elif event["event"] not in ("arrived", "left", "reader_added"):
            sys.exit(f"bench: {event}")


def slope(points):
    """Bytes for each lift."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench --lifts", allow_abbrev=False)
    parser.add_argument("lifts", type=int, nargs="?", default=10000)
    parser.add_argument("--json")
    options = parser.parse_args()
    listing = subprocess.run(["rollcall", "readers", "--output", "ndjson"], capture_output=True, check=True, timeout=_LIMIT)
    readers = [json.loads(line)["reader"] for line in listing.stdout.splitlines()]
    rollcall("pki", "init")
    for number, reader in enumerate(readers):
        rollcall("enroll", "--reader", reader, "--id", f"p{number}", "--name", f"Ada Lovelace {number}", "--field", "room=B17")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {len(readers)} readers, load {os.getloadavg()[0]:.1f}")
    print("| lifts | own memory | threads | s |")
    print("| --- | --- | --- | --- |")
    watch = subprocess.Popen(["rollcall", "watch", "--output", "ndjson"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    points, began, lifts = [], time.monotonic(), 0
    await_events(watch, "arrived", len(readers))
    while lifts < options.lifts:
        subprocess.run(["card", "remove", "all"], check=True, timeout=_LIMIT)
        await_events(watch, "left", len(readers))
        subprocess.run(["card", "insert", "all"], check=True, timeout=_LIMIT)
        await_events(watch, "arrived", len(readers))
        lifts += len(readers)
        own, threads = memory(watch.pid)
        points.append((lifts, own))
        if len(points) % max(1, options.lifts // len(readers) // 20) == 0:
            print(f"| {lifts} | {own // 1024} kB | {threads} | {time.monotonic() - began:.0f} |", flush=True)
    watch.send_signal(signal.SIGTERM)
    watch.wait(timeout=_LIMIT)
    half = points[len(points) // 2:]
    grown = slope(half)
    print(f"in the second half a lift leaves {grown:.0f} bytes")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"lifts": lifts, "bytes_a_lift": grown, "own": points}, file)
            file.write("\n")


if __name__ == "__main__":
    main()
