"""What people do with tokens, by the terminal's own commands, inside a stack of readers: enrol, scan, write, rotate.

    flows.py open|private OUT
    flows.py enrol OUT COUNT
    flows.py tear OUT COUNT FILE ONLY     FILE is the bridge's --tear; tears whose name matches ONLY

One line of JSON for each step goes to OUT: step, result, seconds, ok.
"""

import glob
import json
import os
import re
import secrets
import subprocess
import sys
import time

# With P-256 in software a tap takes four seconds.
CONFIG = '[limits]\nexchange = "600s"\ntap = "600s"\n'
PORTRAIT = 8192
# A PNG header of one pixel; the bytes after it have no meaning.
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"


class Flow:
    def __init__(self, out):
        self.out = open(out, "a", buffering=1, encoding="utf-8")
        self.home = os.environ["ROLLCALL_HOME"]
        self.configure("")

    def configure(self, more):
        with open(os.path.join(self.home, "config.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIG + more)

    def row(self, step, result, seconds, ok):
        self.out.write(json.dumps({"step": step, "result": result, "seconds": seconds, "ok": ok}) + "\n")
        return ok

    def run(self, *argv):
        """(exit status, all that it said)."""
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def step(self, name, *argv, status=0, says=""):
        """A command of the terminal, with the exit status and the words that it must have."""
        began = time.monotonic()
        code, text = self.run("rollcall", *argv)
        ok = status in (None, code) and re.search(says, text) is not None
        lines = [line for line in text.splitlines() if line.strip()]
        result = " ".join(
            (next((line for line in lines if says and re.search(says, line)), lines[-1] if lines else "")).split()
        )
        if not ok:
            result = f"status {code}, and {status} with {says!r} was expected: " + " / ".join(lines)[-600:]
        self.row(f"{name}: {' '.join(argv[:3])}", result[:90] if ok else result, time.monotonic() - began, ok)
        return text

    def card(self, *argv):
        code, text = self.run("card", *argv)
        if code != 0:
            self.row("card " + " ".join(argv), text.strip(), 0.0, False)


def open_mode(flow):
    """The life of an open token with a portrait."""
    path, back = (os.path.join(flow.home, name) for name in ("portrait", "portrait.back"))
    with open(path, "wb") as file:
        file.write(PICTURE + secrets.token_bytes(PORTRAIT - len(PICTURE)))
    name = "open"
    flow.step(name, "enroll", "--id", "1", "--name", "Ada", "--field", "room=B17", "--portrait", path, says="Ada")
    flow.step(name, "scan", says="Ada")
    flow.step(name, "token", "info", says="issued")
    flow.step(name, "token", "verify", "--portrait", back)
    with open(path, "rb") as one, open(back, "rb") as other:
        flow.row("open: the portrait came back", f"{PORTRAIT} bytes", 0.0, one.read() == other.read())
    flow.step(name, "doctor", says="link")
    flow.step(
        name,
        "token",
        "write",
        "--yes",
        "--id",
        "1",
        "--name",
        "Ada L",
        "--field",
        "room=B18",
        "--field",
        "a=" + "b" * 52,
    )
    flow.step(name, "scan", says="Ada L")
    flow.step(name, "token", "block", "--yes")
    flow.step(name, "scan", status=None, says="(?i)blocked")
    flow.step(name, "token", "unblock", "--yes")
    flow.step(name, "scan", says="Ada L")
    flow.step(name, "pki", "rotate-ca", "--yes")
    flow.step(name, "scan", says="Ada L")
    flow.step(name, "token", "rotate", "--yes")
    flow.step(name, "scan", says="Ada L")
    flow.step(name, "pki", "rotate-ca", "--finish", "--yes")
    flow.step(name, "scan", says="Ada L")
    flow.card("remove", "1")
    flow.card("insert", "1")
    flow.step(name, "scan", says="Ada L")
    fast(flow, name, "true")
    flow.step(name, "token", "terminate", "--yes")
    flow.step(name, "scan", status=None, says="(?i)terminated")


def private_mode(flow):
    """The life of a private token, in a set."""
    name = "private"

    flow.step(name, "enroll", "--id", "2", "--name", "Grace", "--set-size", "32", "--accept-trackable", says="Grace")
    flow.step(name, "scan", says="Grace")
    flow.step(name, "token", "info", says="private")
    flow.step(name, "token", "block", "--yes")
    flow.step(name, "scan", status=None, says="(?i)blocked|refus")
    flow.step(name, "token", "unblock", "--yes")
    flow.step(name, "token", "write", "--yes", "--id", "2", "--name", "Grace H")
    flow.step(name, "scan", says="Grace H")
    # The rotation is named after the set it replaces; afterwards there are two sets.
    (replaced,) = glob.glob(os.path.join(flow.home, "pki/sets/*.json"))
    replaced = os.path.splitext(os.path.basename(replaced))[0]
    flow.step(name, "pki", "rotate-set", "--yes", replaced)
    flow.step(name, "token", "rotate", "--yes", "--set", replaced)
    flow.step(name, "scan", says="Grace H")
    flow.step(name, "doctor", says="link")
    fast(flow, name, '"private"')


def fast(flow, name, rule):
    """A tap in full, and one that resumes."""
    began = time.monotonic()
    flow.configure(f"[resume]\ndefault = {rule}\n")
    command = ["rollcall", "--output", "ndjson", "watch"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as watch:
        told = (json.loads(line) for line in watch.stdout)
        # A person scanned before is present already.
        taps = (event.get("resumed", False) for event in told if event["event"] in ("arrived", "confirmed"))
        resumed = [next(taps)]
        flow.card("remove", "1")
        flow.card("insert", "1")
        resumed.append(next(taps))
        watch.terminate()
    flow.configure("")
    flow.row(f"{name}: watch, two taps", f"resumed: {resumed}", time.monotonic() - began, resumed == [False, True])


def enrol(flow, count):
    """Enrolments of `count` blank cards, every second one into a set: each card has other keys."""
    for number in range(1, count + 1):
        if number > 1:
            flow.card("new", "1")
        private = ("--set-size", "32", "--accept-trackable") if number % 2 == 0 else ()
        flow.step(
            f"enrolment {number} of {count}",
            "enroll",
            "--id",
            str(100 + number),
            "--name",
            f"Nr {number}",
            *private,
            says=f"Nr {number}",
        )


def torn(flow, path, what, *argv):
    """Tears the next command with that instruction; whether it came to that."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(what)
    os.rename(path + ".new", path)
    flow.run("rollcall", *argv)
    if os.path.exists(path):
        os.unlink(path)
        return False
    # The card left the field during the command. Remove and insert it for the next one: both calls return once the
    # PC/SC service has noticed.
    flow.card("remove", "1")
    flow.card("insert", "1")
    return True


def scan(flow):
    """(name, use counter) of the token on the reader, or why there is none."""
    code, text = flow.run("rollcall", "scan", "-o", "ndjson")
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if code == 0 and "user" in found:
            return found["user"].get("name"), found.get("proof", {}).get("counter")
    return f"status {code}: {' / '.join(text.splitlines())[-200:]}", None


def tear(flow, count, path, only):
    """Tears in a token in use: its record, its blocking, its counter, its end."""
    flow.step("tear", "enroll", "--yes", "--id", "1", "--name", "Ada", says="Ada")

    def case(name, one):
        if not re.search(only, name):
            return
        began, torn_times, bad = time.monotonic(), 0, []
        for number in range(count):
            was_torn, ok, result = one(number)
            torn_times += was_torn
            if not ok:
                bad.append(result)
        result = f"{torn_times} of {count} torn, all old or new" if not bad else "; ".join(bad)
        flow.row(f"tear: {name}", result, time.monotonic() - began, not bad and torn_times > 0)

    names = ["Ada"]

    def record(number):
        names.append(f"Ada {number}")
        was = torn(flow, path, "da 1 130", "token", "write", "--yes", "--id", "1", "--name", names[-1])
        name, _ = scan(flow)
        ok = name in names[-2:]
        if ok and name != names[-1]:
            names.pop()
        return was, ok, f"the name is {name}, and neither of {names[-2:]}"

    def block(_):
        was = torn(flow, path, "f0 1 10", "token", "block", "--yes")
        _, text = flow.run("rollcall", "token", "info")
        ok = re.search(r"(?m)^state +(issued|blocked)", text)
        if ok and ok[1] == "blocked":
            flow.run("rollcall", "token", "unblock", "--yes")
        return was, bool(ok), " / ".join(text.splitlines())[-200:]

    counters = [0]

    def proof(_):
        was = torn(flow, path, "88 1 24", "scan")
        name, counter = scan(flow)
        ok = name == names[-1] and isinstance(counter, int) and counter > counters[-1]
        counters.append(counter if ok else counters[-1])
        return was, ok, f"{name} with counter {counter} after {counters[-1]}"

    def terminate(number):
        was = torn(flow, path, f"f0 1 {1 + 700 * number // count}", "token", "terminate", "--yes")
        _, text = flow.run("rollcall", "token", "info")
        ok = re.search(r"(?m)^state +(issued|terminated)", text)
        if number + 1 < count:
            flow.card("new", "1")
            flow.run("rollcall", "enroll", "--yes", "--id", str(number + 2), "--name", "Ada")
        return was, bool(ok), " / ".join(text.splitlines())[-200:]

    case("the record", record)
    case("block", block)
    case("the use counter", proof)
    case("terminate", terminate)


def main(argv):
    flow = Flow(argv[2])
    if argv[1] == "enrol":
        enrol(flow, int(argv[3]))
    elif argv[1] == "tear":
        tear(flow, int(argv[3]), *argv[4:6])
    else:
        {"open": open_mode, "private": private_mode}[argv[1]](flow)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
