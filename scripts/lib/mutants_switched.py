#!/usr/bin/env python3
"""The fast way of scripts/mutants: all mutants of some shards in one build, each behind a switch.

What the compiler does not take is left out: `unviable` where the broken code itself is at fault, else `unjudged`. The
environment then says which mutant is on (MUTANT_ON), or where to write which are reached (MUTANT_REACHED): a mutant is
tried with the tests that reach it, and with no other.
"""

import collections
import concurrent.futures
import contextlib
import fnmatch
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import mutants as ledger
from mutants_source import Source

SWITCH = """//! Which mutant is on.
use std::{fs::OpenOptions, io::Write, sync::{OnceLock, atomic::{AtomicBool, Ordering::Relaxed}}};
static ON: OnceLock<(usize, Option<String>)> = OnceLock::new();
static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
pub fn on(number: usize) -> bool {
    let var = |name| std::env::var(name).ok();
    let (on, reached) = ON.get_or_init(|| (var("MUTANT_ON").map_or(COUNT, |n| n.parse().unwrap()), var("MUTANT_REACHED")));
    if let Some(path) = reached && !SEEN[number].swap(true, Relaxed) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(format!("{number}\\n").as_bytes()).unwrap();
    }
    number == *on
}
"""
WORKERS = concurrent.futures.ThreadPoolExecutor(2)


def say(text):
    print(f"mutants: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def cargo(tree, *arguments):
    """What cargo tells, as objects, and whether it went well."""
    command = ["cargo", *arguments, "--message-format=json"]
    run = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")], run.returncode == 0


def places(diagnostic):
    """The spans of an error, those at fault first."""
    spans = sorted(diagnostic["spans"], key=lambda span: not span["is_primary"])
    return spans + [span for child in diagnostic["children"] for span in places(child)]


def build(tree, listed, tests):
    """Puts all mutants in, and takes out what does not compile, until the rest does. Gives the programs of the tests."""
    sources = {name: Source(tree / name) for name in sorted({mutant["file"] for mutant in listed})}
    for mutant in listed:
        mutant["site"] = sources[mutant["file"]].site(mutant)
        if not mutant["site"]:
            mutant["outcome"] = "unviable"  # `||` cannot stand between the parts of `if let … && …`
    while live := [mutant for mutant in listed if "outcome" not in mutant]:
        parts = {name: source.write([m for m in live if m["file"] == name]) for name, source in sources.items()}
        told, well = cargo(tree, "build", "--lib")
        if well:
            break
        errors = [m["message"] for m in told if m["reason"] == "compiler-message" and m["message"]["level"] == "error"]
        for error in errors:
            for span in places(error):
                first, last = span["byte_start"], span["byte_end"]
                around = [part for part in parts.get(span["file_name"], []) if part[0] <= first and last <= part[1]]
                if around:
                    _, _, numbers, outcome = min(around, key=lambda part: part[1] - part[0])
                    for number in numbers:
                        listed[number].setdefault("outcome", outcome)
                    break
        gone = sum("outcome" in mutant for mutant in live)
        say(f"{gone} of {len(live)} mutants do not compile")
        if not gone:
            sys.exit("mutants: does not compile: " + "\n".join(error["rendered"] for error in errors))
    told, well = cargo(tree, "test", "--no-run", "--lib", *(f"--test={name}" for name in tests))
    made = {m["target"]["name"]: m["executable"] for m in told if m["reason"] == "compiler-artifact" and m["profile"]["test"]}
    if not well:
        sys.exit("mutants: the tests do not compile")
    return {"lib": made["rollcall"]} | {name: made[name] for name in tests}


def run(tree, test, limit, **environment):
    """`passed`, `failed` or `timeout`; what the test started ends with it."""
    _, program, name = test
    command = [program, "--exact", name, "--test-threads=1"]
    quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    process = subprocess.Popen(command, cwd=tree, env=os.environ | environment, start_new_session=True, **quiet)
    try:
        return "failed" if process.wait(limit) else "passed"
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def reached(tree, programs):
    """Of each mutant: the tests that reach it, as (seconds, test)."""

    def one(test):
        with tempfile.NamedTemporaryFile() as file:
            begun = time.monotonic()
            passed = run(tree, test, 300, MUTANT_REACHED=file.name) == "passed"
            if not passed:
                say(f"left out, it does not pass as things are: {test[2]}")
            return time.monotonic() - begun, test, set(map(int, pathlib.Path(file.name).read_text().split())) if passed else set()

    tests = []
    for stage, program in programs.items():
        names = subprocess.run([program, "--list", "--format=terse"], cwd=tree, capture_output=True, text=True, check=True).stdout
        tests += [(stage, program, line.removesuffix(": test")) for line in names.splitlines() if line.endswith(": test")]
    found = collections.defaultdict(dict)
    for seconds, test, numbers in WORKERS.map(one, tests):
        for number in numbers:
            found[number][test[2]] = (seconds, test)
    say(f"{len(tests)} tests reach {len(found)} mutants")
    # A case on PostgreSQL usually gives the same result as on SQLite.
    same = {n: {"postgres" + name.removeprefix("sqlite") for name in cases if name.startswith("sqlite::")} for n, cases in found.items()}
    return {n: [case for name, case in cases.items() if name not in same[n]] for n, cases in found.items()}


def judge(tree, mutant, cases, kills, most):
    """Tries one mutant with tests that did not try it yet, at most so many that are no unit tests. It is killed where one
    fails; outside the unit tests it must fail twice. It has survived when none is left."""
    tried = mutant.setdefault("tried", set())
    for seconds, test in sorted(cases, key=lambda case: (case[1][0] != "lib", -kills[mutant["file"], case[1][2]], case[0])):
        stage, _, name = test
        if name in tried:
            continue
        if stage != "lib" and (most := most - 1) < 0:
            return
        tried.add(name)
        mutant["stage"] = stage
        for _ in range(1 if stage == "lib" else 2):
            outcome = run(tree, test, max(20, 10 * seconds), MUTANT_ON=str(mutant["number"]))
            if outcome != "failed":
                break
        if outcome != "passed":
            kills[mutant["file"], name] += 1
            mutant["outcome"] = "killed" if outcome == "failed" else outcome
            return
    mutant["outcome"] = "survived"
    mutant.setdefault("stage", "unreached")


def listing(tree, tool, shards, again):
    """The mutants of these shards, numbered. Their ledgers keep, with `again`, what was killed or does not compile."""
    of_file = {name: shard for shard in shards for name in ledger.SHARDS[shard][1]}
    command = [tool, "mutants", "--list", "--json", *(option for name in of_file for option in ("-f", name))]
    out = json.loads(subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, check=True).stdout)
    out = {mutant["name"]: mutant for mutant in out}  # a file may be a module twice
    for mutant in out.values():
        mutant["shard"] = next(shard for name, shard in of_file.items() if fnmatch.fnmatch(mutant["file"], name))
    for shard in shards:
        done = [line for line in ledger.ledger(shard) if again and line[0] in ("killed", "timeout", "unviable") and line[3] in out]
        ledger.write(shard, {line[3]: line for line in done})
        out = {name: mutant for name, mutant in out.items() if name not in {line[3] for line in done}}
    listed = sorted(out.values(), key=lambda mutant: shards.index(mutant["shard"]))
    return [mutant | {"number": number} for number, mutant in enumerate(listed)]


def main(tree, tool, commit, *shards):
    tree, again = pathlib.Path(tree), "--again" in shards
    shards = [shard for shard in shards if shard != "--again"]
    listed = listing(tree, tool, shards, again)
    (tree / "src" / "mutant_switch.rs").write_text(SWITCH.replace("COUNT", str(max(1, len(listed)))))
    with (tree / "src" / "lib.rs").open("a") as lib:
        lib.write("#[allow(missing_docs)]\npub mod mutant_switch;\n")
    server = any(shard.startswith("server-") for shard in shards)
    cases = reached(tree, build(tree, listed, ["api"] if server else ["vectors", "conformance"]))
    kills, last = collections.Counter(), 0
    # Most mutants are killed by a few tests: run those first for all, then all tests for the rest.
    for most in (4, 10_000):
        left = [mutant for mutant in listed if "outcome" not in mutant]
        tried = [WORKERS.submit(judge, tree, mutant, cases.get(mutant["number"], []), kills, most) for mutant in left]
        for count, future in enumerate(tried, 1):
            future.result()
            if time.monotonic() - last > 60 or count == len(tried):
                last = time.monotonic()
                ledger.take(listed, commit)
                say(f"{count} of {len(tried)}, {sum('outcome' not in mutant for mutant in left)} left")


if __name__ == "__main__":
    main(*sys.argv[1:])
