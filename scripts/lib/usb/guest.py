"""What is done inside the guest: commands over ssh, and programs that go on and print events."""

import json
import os
import queue
import shlex
import subprocess
import threading
import time

from machine import Trouble

HOME = "/var/lib/rollcall"


class Result:
    """What a command in the guest came to."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    def codes(self):
        """The codes of its errors, in their order."""
        found = [line[6:] for line in self.err.splitlines() if line.startswith("code: ")]
        for line in self.out.splitlines():
            if line.startswith("{") and isinstance(record := json.loads(line), dict):
                if isinstance(error := record.get("error"), dict):
                    found.append(error["code"])
        return found

    def brief(self):
        """For a table: exit status, codes or the first line that it said, time."""
        said = ", ".join(self.codes())
        if not said and self.status != 0:
            said = next(iter((self.err.strip() or self.out.strip()).splitlines()), "")
        return f"exit {self.status}{': ' if said else ''}{said[:90]} ({self.seconds:.1f} s)"


class Guest:
    """The guest over ssh, on one connection that all commands share."""

    def __init__(self, key, port, sockets):
        self.port = port
        self.argv = ["ssh", "-F", "none", "-q", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        self.argv += ["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=120", "-o", "ControlMaster=auto"]
        self.argv += ["-o", f"ControlPath={sockets}/ssh", "-o", "ControlPersist=yes", "-i", key, "-p", str(port)]
        self.argv += ["-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=10", "root@127.0.0.1"]

    def run(self, command, timeout=300, given=None, file=None):
        began = time.monotonic()
        source = {"stdin": file} if file else {"input": given if given is not None else b""}
        try:
            done = subprocess.run([*self.argv, command], capture_output=True, check=False, timeout=timeout, **source)
        except subprocess.TimeoutExpired:
            return Result(-1, "", f"no end within {timeout} s", timeout)
        took = time.monotonic() - began
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), took)

    def must(self, command, timeout=300, **given):
        done = self.run(command, timeout, **given)
        if done.status != 0:
            raise Trouble(f"in the guest: {command}: exit {done.status}: {(done.err or done.out).strip()[-400:]}")
        return done.out.strip()

    def rollcall(self, *arguments, timeout=300, user="rollcall"):
        """As the package's user, which polkit lets in."""
        return self.run(as_user(user, *arguments), timeout)

    def put(self, path, to):
        with open(path, "rb") as file:
            self.must(f"cat >{shlex.quote(to)}", file=file)

    def write(self, to, text):
        self.must(f"mkdir -p {shlex.quote(os.path.dirname(to))} && cat >{shlex.quote(to)}", given=text.encode())

    def forget(self):
        """Ends the shared connection."""
        subprocess.run([*self.argv[:-1], "-O", "exit", self.argv[-1]], capture_output=True, check=False)


def as_user(user, *arguments):
    # Not runuser, which stays as the parent and does not pass signals on to the program.
    become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"]
    return shlex.join([*become, "env", f"ROLLCALL_HOME={HOME}", "rollcall", *arguments])


class Stream:
    """A program in the guest that prints one JSON object a line, such as `watch -o ndjson`."""

    def __init__(self, guest, log, *arguments):
        self.guest, self.name = guest, f"lab-{time.monotonic_ns()}"
        command = f"echo $$ >/run/{self.name}; exec {as_user('rollcall', *arguments)}"
        self.log = open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self.process = subprocess.Popen(
            [*guest.argv, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.lines, self.seen = queue.Queue(), []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.log.write(line)
            if line.startswith("{"):
                self.lines.put((time.monotonic(), json.loads(line)))
        self.lines.put((time.monotonic(), None))

    def drain(self):
        """What it said since somebody waited last."""
        said = []
        while True:
            try:
                _, event = self.lines.get_nowait()
            except queue.Empty:
                return said
            if event is not None:
                self.seen.append(event)
                said.append(event)

    def wait(self, wanted, seconds):
        """The first event that `wanted` takes, and what came before it; None when none came in that time."""
        end, before = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            try:
                _, event = self.lines.get(timeout=left)
            except queue.Empty:
                break
            if event is None:
                break
            self.seen.append(event)
            if wanted(event):
                return event, before
            before.append(event)
        return None, before

    def signal(self, name):
        self.guest.run(f"kill -{name} $(cat /run/{self.name})")

    def end(self):
        self.signal("TERM")
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
