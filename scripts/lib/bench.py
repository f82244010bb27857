"""The measurements of scripts/bench, inside its stack. Figures are medians (p50) and the 99th percentile (p99)."""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time

_LIMIT = 60
_WARM_UP = 5
_LIST = "/usr/share/pcsc/smartcard_list.txt"
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


def whole_process(argv, out):
    """Milliseconds from before the start to after the end of a process, and those of processor time, and its context
    switches. What it prints goes to the file `out`."""
    out.seek(0)
    out.truncate()
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 2)]
    began = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[*null, (os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
    _, status, used = os.wait4(pid, 0)
    took = (time.perf_counter() - began) * 1000
    if status != 0:
        sys.exit(f"bench: {' '.join(argv)} ended with status {os.waitstatus_to_exitcode(status)}")
    return {"wall": took, "cpu": (used.ru_utime + used.ru_stime) * 1000, "switches": used.ru_nvcsw + used.ru_nivcsw}


def side_by_side(commands, runs):
    """Each command in turn, so that what disturbs one disturbs the others too. Of a scan's wall time the card's own part
    is taken off."""
    times = {name: [] for name in commands}
    with tempfile.TemporaryFile() as out:
        for _ in range(runs + _WARM_UP):
            for name, argv in commands.items():
                took = whole_process(argv, out)
                if "scan" in argv:
                    out.seek(0)
                    took["wall"] -= json.load(out)[0]["timings_ms"]["card"]
                times[name].append(took)
    return {name: values[_WARM_UP:] for name, values in times.items()}


def summary(values):
    return {"n": len(values), "min": min(values), "p10": percentile(values, 0.1), "p50": percentile(values, 0.5),
            "p99": percentile(values, 0.99)}


def table(title, rows):
    print(f"\n{title}")
    print(f"{'':<28}{'n':>6}{'min':>10}{'p10':>10}{'p50':>10}{'p99':>10}  ms")
    for name, row in rows.items():
        print(f"{name:<28}{row['n']:>6}{row['min']:>10.3f}{row['p10']:>10.3f}{row['p50']:>10.3f}{row['p99']:>10.3f}")


def ratios(start_up, pairs):
    """Each command beside its peer: the fast tenth of its wall time, and its processor time."""
    print(f"\n{'':<44}{'wall p10':>10}{'cpu p50':>10}")
    for name, peer in pairs:
        wall, cpu = (start_up[kind][name][at] / start_up[kind][peer][at] for kind, at in (("wall", "p10"), ("cpu", "p50")))
        print(f"{name + ' : ' + peer:<44}{wall:>10.2f}{cpu:>10.2f}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", allow_abbrev=False)
    parser.add_argument("--card", required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json")
    parser.add_argument("--before")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs: at least 1")

    reader = objects("readers")[0]["reader"]
    rollcall("pki", "init")
    rollcall("enroll", "--second-card", "--reader", reader, "--id", "bench", "--name", "Bench Mark")
    timings = taps(reader, options.runs)
    phases = {name: summary([timing[name] for timing in timings]) for name in _PHASES}
    # The host's overhead once connected: a tap's time without the connection and the exchanges.
    overhead = summary([timing["total"] - timing["connect"] - timing["card"] for timing in timings])
    commands = {"rollcall readers": ["rollcall", "readers"], "opensc-tool -l": ["opensc-tool", "-l"],
                "rollcall scan": ["rollcall", "scan", "--reader", reader, "--output", "json"],
                "true (a bare process)": ["true"]}
    pairs = [("rollcall readers", "opensc-tool -l"), ("rollcall scan", "rollcall readers")]
    if options.before:
        # An older build may not understand the current store, so it is not used to scan.
        commands["before: readers"] = [options.before, "readers"]
        pairs += [("rollcall readers", "before: readers")]
    times = side_by_side(commands, options.runs)
    start_up = {kind: {name: summary([value[kind] for value in values]) for name, values in times.items()}
                for kind in ("wall", "cpu", "switches")}

    with open("/proc/loadavg", encoding="ascii") as file:
        load = file.read().split()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load}, card: {options.card} (software)")
    table(f"A tap, {timings[-1]['exchanges']} exchanges; card = the part inside exchanges", phases)
    table("Host overhead of a tap (total - connect - card)", {"overhead": overhead})
    listed = "with" if os.path.exists(_LIST) else "without"
    table(f"Start-up, the whole process, alternating, {listed} the list of pcsc-tools; scan without its card's part",
          start_up["wall"])
    table("The same in processor time", start_up["cpu"])
    print("\nContext switches (p50): " +
          ", ".join(f"{name} {row['p50']}" for name, row in start_up["switches"].items()))
    ratios(start_up, pairs)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"card": options.card, "load": load, "phases_ms": phases, "overhead_ms": overhead,
                       "start_up": start_up}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
