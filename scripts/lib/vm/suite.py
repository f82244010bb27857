"""The conformance suite on the reference implementation, one test after the other; a later run goes on from there."""

import json
import os
import re
import signal
import subprocess
import time

# Tests expected to fail here because the platform answers before the applet or cannot carry the command, each with the
# reason. They still run, and one that passes is a mistake in this list.
CHANNELS = "MANAGE CHANNEL (INS 70) is the platform's, which answers it before the applet is asked"
PLATFORM = {0: {}, 1: {"table_without_a_session": CHANNELS}}
# The longest test takes 43 minutes of processor time here.
PATIENCE = 4 * 3600
# Tests of APDU cases, channels, chains, life cycle and secure messaging come first, as platforms differ most there.
# Tests that alter a certificate or an answer, which every platform computes alike, come last.
FIRST = (
    "channels",
    "chains",
    "session_ends",
    "table_without",
    "too_long",
    "plain_commands",
    "scp03",
    "external_authenticate",
    "enrollment",
    "administration",
    "mac",
    "padding",
    "replayed",
    "interleaved",
    "identity_key",
    "private_token",
    "leaked",
    "table_of_in",
    "table",
)
LAST = ("card_that", "any_byte")


def place(name):
    """Where a test stands in the row."""
    for number, word in enumerate(FIRST):
        if word in name:
            return number, name
    return len(FIRST) + any(word in name for word in LAST), name


class Before:
    """What was run before of this variant on this link: (result, seconds, whether it is as it should be) by name."""

    def __init__(self, path, variant):
        self.path, self.variant, self.found = path, variant, {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                kept = json.load(file)
            if kept["variant"] == variant:
                self.found = kept["tests"]

    def keep(self, name, *what):
        self.found[name] = what
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump({"variant": self.variant, "tests": self.found}, file, indent=1)
        os.rename(self.path + ".new", self.path)


def names(program):
    """The tests on the applet, in the order in which they run."""
    listed = subprocess.run(
        [program, "--list"],
        env={**os.environ, "ROLLCALL_TEST_CARDS": "applet"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout.decode()
    tests = [line.removesuffix(": test") for line in listed.splitlines() if line.startswith("applet::")]
    return sorted((test.removeprefix("applet::") for test in tests), key=place)


def run(of, folder, program, given):
    """(test, result, seconds, whether it is as it should be) for each; none for one that was not run to its end."""
    tests = names(program)
    before = Before(os.path.join(folder, "done.json"), of.images.name)
    # Failed tests are run again.
    known = set() if given.again else {name for name, (_, _, ok) in before.found.items() if ok}
    ends = time.monotonic() + given.minutes * 60 if given.minutes else None
    now = []
    for name in tests:
        if not re.search(given.only, name):
            continue
        if name in known:
            result, seconds, ok = before.found[name]
            yield name, f"{result} (before)", seconds, ok
            continue
        left = ends - time.monotonic() if ends else PATIENCE
        if left <= 0:
            continue
        result, seconds, ok = one(of, folder, program, name, min(left, PATIENCE))
        if ok is None and left < PATIENCE:
            yield name, f"not run to its end: {result}", seconds, None
            continue
        ok = bool(ok)
        now.append(name)
        before.keep(name, result, seconds, ok)
        yield name, result, seconds, ok
    done = [name for name in tests if name in before.found]
    bad = sum(not before.found[name][2] for name in done)
    with open(os.path.join(folder, "missing"), "w", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in tests if name not in before.found)
    yield (
        "cases",
        f"{len(done)} of {len(tests)} cases run, {len(now)} of them now, {bad} with a fault; the others: {file.name}",
        None,
        None,
    )


def one(of, folder, program, name, patience):
    """(result, seconds, whether it is as it should be; nothing where its time was up)."""
    log, out = (os.path.join(folder, f"{name}.{what}") for what in ("apdus", "out"))
    for path in (log, out):
        if os.path.exists(path):
            os.unlink(path)
    env = {**os.environ, "ROLLCALL_TEST_CARDS": "applet", "ROLLCALL_BRIDGE": " ".join(of.bridge(log))}
    began = time.monotonic()
    with open(out, "wb") as file:
        process = subprocess.Popen(
            [program, "--test-threads", "1", "--exact", f"applet::{name}"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.returncode is None:
                # Kill it together with its bridge and its machine.
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    seconds, reason = time.monotonic() - began, PLATFORM[of.protocol].get(name)
    with open(out, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file]
    count = 0
    if os.path.exists(log):
        with open(log, encoding="utf-8") as file:
            count = sum(" > " in line for line in file)
    if status is None:
        return f"its time was up after {count} commands", seconds, None
    if status == 0:
        seen = next((line for line in lines if "attacks seen" in line), "").split(",")[0]
        passed = f"{count} commands; {seen}"
        return passed if not reason else f"it passes, and should differ: {reason}", seconds, not reason
    why = next((line for line in lines if "panicked" in line or "assertion" in line), f"status {status}")
    failed = f"status {status}: {why}"[:300]
    return f"differs by the platform: {reason}" if reason else failed, seconds, bool(reason)
