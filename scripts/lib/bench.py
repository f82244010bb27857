"""The measurements of scripts/bench, inside its stack. Figures are medians (p50) and the 99th percentile (p99)."""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time

_LIMIT = 60
_WARM_UP = 5
_PHASES = ("connect", "authenticate", "read", "total", "card")


def percentile(values, share):
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rollcall(*arguments):
    done = subprocess.run(["rollcall", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=_LIMIT, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: rollcall {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def objects(*arguments):
    return [json.loads(line) for line in rollcall(*arguments, "--output", "ndjson").splitlines()]


def taps(reader, runs):
    """The timings of so many authenticated scans of one card."""
    timings = []
    for _ in range(runs + _WARM_UP):
        (scan,) = objects("scan", "--reader", reader)
        if scan["authenticated"]["token"] is not True:
            sys.exit(f"bench: the token was not authenticated: {scan}")
        timings.append({**scan["timings_ms"], "exchanges": scan.get("exchanges")})
    return timings[_WARM_UP:]


def whole_process(argv):
    """Milliseconds from before the start to after the end of a process, its output thrown away."""
    began = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)])
    _, status = os.waitpid(pid, 0)
    took = (time.perf_counter() - began) * 1000
    if status != 0:
        sys.exit(f"bench: {' '.join(argv)} ended with status {os.waitstatus_to_exitcode(status)}")
    return took


def side_by_side(commands, runs):
    """Each command in turn, so that what disturbs one disturbs the others too."""
    times = {name: [] for name in commands}
    for _ in range(runs + _WARM_UP):
        for name, argv in commands.items():
            times[name].append(whole_process(argv))
    return {name: values[_WARM_UP:] for name, values in times.items()}


def summary(values):
    return {"n": len(values), "min": min(values), "p50": percentile(values, 0.5), "p99": percentile(values, 0.99)}


def table(title, rows):
    print(f"\n{title}")
    print(f"{'':<28}{'n':>6}{'min':>10}{'p50':>10}{'p99':>10}  ms")
    for name, row in rows.items():
        print(f"{name:<28}{row['n']:>6}{row['min']:>10.3f}{row['p50']:>10.3f}{row['p99']:>10.3f}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", allow_abbrev=False)
    parser.add_argument("--card", required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs: at least 1")

    reader = objects("readers")[0]["reader"]
    rollcall("pki", "init")
    rollcall("enroll", "--second-card", "--reader", reader, "--id", "bench", "--name", "Bench Mark")
    timings = taps(reader, options.runs)
    phases = {name: summary([timing[name] for timing in timings]) for name in _PHASES}
    # What the host adds once the connection stands: a tap's time without the connection and without the exchanges.
    overhead = summary([timing["total"] - timing["connect"] - timing["card"] for timing in timings])
    start_up = side_by_side(
        {"rollcall readers": ["rollcall", "readers"], "opensc-tool -l": ["opensc-tool", "-l"],
         "true (a bare process)": ["true"]}, options.runs)
    start_up = {name: summary(values) for name, values in start_up.items()}

    with open("/proc/loadavg", encoding="ascii") as file:
        load = file.read().split()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load}, card: {options.card} (software)")
    table(f"A tap, {timings[-1]['exchanges']} exchanges; card = the part inside exchanges", phases)
    table("Host overhead of a tap (total - connect - card)", {"overhead": overhead})
    table("Start-up, the whole process, alternating", start_up)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"card": options.card, "load": load, "phases_ms": phases, "overhead_ms": overhead,
                       "start_up_ms": start_up}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
