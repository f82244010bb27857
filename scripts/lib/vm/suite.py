"""The conformance suite on the reference implementation, one test after the other."""

import os
import subprocess
import time

# Tests that end otherwise here because the platform answers before the applet, or cannot carry the command: each with
# the reason. They run all the same, and one that passes is a mistake in this list.
CHANNELS = "MANAGE CHANNEL (INS 70) is the platform's, which answers it before the applet is asked"
PLATFORM = {0: {}, 1: {"table_without_a_session": CHANNELS}}
PATIENCE = 1800


def run(of, folder, program, only):
    """(test, result, seconds, whether it is as it should be) for each."""
    env = {**os.environ, "ROLLCALL_TEST_CARDS": "applet"}
    listed = subprocess.run(
        [program, "--list"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout.decode()
    tests = [line.removesuffix(": test") for line in listed.splitlines() if line.startswith("applet::")]
    for test in tests:
        name = test.removeprefix("applet::")
        if only and only not in name:
            continue
        log, out = (os.path.join(folder, f"{name}.{what}") for what in ("apdus", "out"))
        env["ROLLCALL_BRIDGE"] = " ".join(of.bridge(log))
        began = time.monotonic()
        with open(out, "wb") as file:
            try:
                status = subprocess.run(
                    [program, "--test-threads", "1", "--exact", test],
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=PATIENCE,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = "timeout"
        seconds, reason = time.monotonic() - began, PLATFORM[of.protocol].get(name)
        with open(out, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file]
        count = 0
        if os.path.exists(log):
            with open(log, encoding="utf-8") as file:
                count = sum(" > " in line for line in file)
        if status == 0:
            seen = next((line for line in lines if "attacks seen" in line), "").split(",")[0]
            yield (
                name,
                f"{count} commands; {seen}" if not reason else f"it passes, and should differ: {reason}",
                seconds,
                not reason,
            )
        else:
            why = next((line for line in lines if "panicked" in line or "assertion" in line), f"status {status}")
            yield (
                name,
                f"differs by the platform: {reason}" if reason else f"status {status}: {why}"[:300],
                seconds,
                bool(reason),
            )
