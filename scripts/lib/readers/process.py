"""Starting, awaiting and ending processes, so that nothing outlives the stack."""

import ctypes
import os
import select
import shutil
import signal
import time

# Set to the stack's folder for COMMAND and everything it starts, and to the folder of `inner` for pcscd and the cards,
# to find leftover processes.
MARK = "ROLLCALL_STACK"
_PR_SET_PDEATHSIG = 1
_SETPRIV = shutil.which("setpriv") or "/usr/bin/setpriv"


def follow_parent(signum):
    """Have the kernel send us `signum` when our parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)


def which(name):
    """The path of a program, /usr/sbin included (a plain user's PATH lacks it)."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def inner(folder):
    """The mark of the stack's own processes."""
    return folder + "/stack"


class Process:
    """A child process: reaped here and nowhere else."""

    def __init__(self, argv, env, *, log=None, fd3=None, own_session=True, mask=()):
        """Run `argv`; the kernel kills it when this process dies. `fd3` becomes its file descriptor 3."""
        actions = []
        if log is not None:
            actions += [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ]
        if fd3 is not None:
            actions.append((os.POSIX_SPAWN_DUP2, fd3, 3))
        self.status = None
        self.log = log
        self.pid = os.posix_spawn(
            _SETPRIV,
            ["setpriv", "--pdeathsig", "KILL", "--", *argv],
            env,
            file_actions=actions,
            setsid=own_session,
            setsigmask=mask,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
        self.pidfd = os.pidfd_open(self.pid)

    def poll(self):
        """The exit status (128 + signal for a signal), or None while it runs."""
        if self.status is None:
            pid, raw = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                code = os.waitstatus_to_exitcode(raw)
                self.status = code if code >= 0 else 128 - code
                os.close(self.pidfd)
        return self.status

    def wait(self, seconds):
        """Wait for its end; returns what poll() returns."""
        if self.poll() is None:
            ready = select.poll()
            ready.register(self.pidfd, select.POLLIN)
            ready.poll(max(0, seconds) * 1000)
        return self.poll()

    def send(self, signum):
        if self.poll() is None:
            os.kill(self.pid, signum)

    def end(self, grace=0.0):
        """End it: a polite SIGTERM when there is a grace, then SIGKILL."""
        if grace > 0:
            self.send(signal.SIGTERM)
            self.send(signal.SIGCONT)
            self.wait(grace)
        self.send(signal.SIGKILL)
        return self.wait(10)

    def log_tail(self, lines=12):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:]).rstrip()
        except OSError:
            return ""


def marked(value):
    """The processes, but for this one, that carry this mark."""
    mark = f"{MARK}={value}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            pass
    return found


def sweep(value, grace=2.0):
    """End every process that still carries the mark. Bounded: `grace` seconds, then SIGKILL."""
    killed_from = time.monotonic() + grace
    for signum in (signal.SIGTERM, signal.SIGKILL):
        while True:
            left = marked(value)
            if not left:
                return
            fds = []
            for pid in left:
                try:
                    fds.append(os.pidfd_open(pid))
                    os.kill(pid, signum)
                    os.kill(pid, signal.SIGCONT)
                except OSError:
                    pass
            ready = select.poll()
            for fd in fds:
                ready.register(fd, select.POLLIN)
            ends = killed_from if signum == signal.SIGTERM else killed_from + 2
            while fds and time.monotonic() < ends:
                gone = [fd for fd, _ in ready.poll(max(0, ends - time.monotonic()) * 1000)]
                for fd in gone:
                    ready.unregister(fd)
                    os.close(fd)
                    fds.remove(fd)
            for fd in fds:
                os.close(fd)
            if time.monotonic() >= ends:
                break
