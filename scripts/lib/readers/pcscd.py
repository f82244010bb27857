"""The private pcscd: its configuration, its socket, starting and stopping."""

import fcntl
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile

from process import MARK, Process, inner, which

_NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
_LAUNCH = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"'
# As root pcscd writes /run/pcscd/pcscd.pid, which belongs to the system's pcscd: mount a private folder there.
_LAUNCH_APART = 'mount --bind "$1" /run/pcscd || exit 125; shift; ' + _LAUNCH
_PCSCD_ONLY = ("PCSCLITE_FILTER_IGNORE_READER_NAMES", "PCSCLITE_FILTER_EXTEND_READER_NAMES")


class Pcscd:
    """A pcscd that only this stack uses. `driver` is one of drivers.py."""

    def __init__(self, folder, logs, preload, driver, polkit):
        self.folder = folder
        self.home = os.path.join(folder, "pcscd")
        self.conf = os.path.join(self.home, "conf")
        self.run = os.path.join(self.home, "run")
        self.empty = os.path.join(self.home, "empty")
        for path in (self.home, self.conf, self.run, self.empty):
            os.makedirs(path, 0o755)
            os.chmod(path, 0o755)
        self.socket_path = os.path.join(folder, "pcscd.comm")
        self.log = os.path.join(logs, "pcscd.log")
        self.process = None
        self.program = which("pcscd")
        self.driver = driver
        if self.program is None:
            raise OSError("pcscd is not installed: run scripts/setup readers")
        self.preload = shutil.copy(preload, os.path.join(self.home, "preload.so"))
        self.flags = ["-f", "-e", "-c", self.conf]
        if not polkit and b"--disable-polkit" in subprocess.run([self.program, "--help"], stdin=subprocess.DEVNULL,
                                                 capture_output=True, timeout=10, check=False).stdout:
            self.flags.append("--disable-polkit")
        self.way_in = self._way_in(folder)

    def _way_in(self, folder):
        """What stands before pcscd on its command line, so that it leaves the system's pcscd alone."""
        plain = ["sh", "-c", _LAUNCH, "sh"]
        if os.geteuid() != 0:
            return plain
        os.makedirs("/run/pcscd", exist_ok=True)
        unshare = ["unshare", "--mount", "--propagation", "private", "--"]
        apart = [*unshare, "sh", "-c", _LAUNCH_APART, "sh", self.run]
        probe = subprocess.run([*apart, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
        if probe.returncode == 0:
            return apart
        # No namespaces (a container without CAP_SYS_ADMIN): run it as an unprivileged user, who cannot write there.
        os.chmod(folder, 0o711)
        return [*_NOBODY, "setpriv", "--pdeathsig", "KILL", "--", *plain]

    def configure(self, ports):
        """All readers in one file: then they are in its order."""
        with open(os.path.join(self.conf, "readers"), "w", encoding="ascii") as file:
            file.write(self.driver.entries(self.home, ports))

    def start(self):
        if self.running():
            return
        env = {name: value for name, value in os.environ.items() if name not in _PCSCD_ONLY}
        env.update(LISTEN_FDS="1", LD_PRELOAD=self.preload, ROLLCALL_NO_USB=self.empty, **self.driver.env())
        env[MARK] = inner(self.folder)
        self._unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(self.socket_path)
            listener.listen(64)
            # Not 3 already: it must be a copy that pcscd inherits, and only pcscd may hold the socket, so that a
            # client sees at once when the service is gone.
            fd = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
            try:
                self.process = Process([*self.way_in, self.program, *self.flags], env, log=self.log, fd3=fd)
            finally:
                os.close(fd)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, grace=3.0):
        """End it; with a grace of 0 as a crash would, socket left behind."""
        if self.process is not None:
            self.process.end(grace)
        if grace > 0:
            self._unlink()

    def _unlink(self):
        try:
            os.unlink(self.socket_path)
        except FileNotFoundError:
            pass

    def failure(self):
        return f"pcscd ended, status {self.process.status}\n{self.process.log_tail()}"


def build_preload(source):
    """Compile the preload library once, into the user's cache. Returns its path."""
    with open(source, "rb") as file:
        digest = hashlib.sha256(file.read() + platform.machine().encode()).hexdigest()[:16]
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = os.path.join(root, "rollcall")
    try:
        os.makedirs(cache, 0o700, exist_ok=True)
        if os.stat(cache).st_uid != os.geteuid() or not os.access(cache, os.W_OK):
            raise PermissionError(cache)
    except OSError:
        cache = tempfile.gettempdir() + f"/rollcall-cache-{os.geteuid()}"
        os.makedirs(cache, 0o700, exist_ok=True)
        if os.stat(cache).st_uid != os.geteuid():
            sys.exit(f"with-readers: {cache} belongs to somebody else")
    target = os.path.join(cache, f"vpcd-preload-{digest}.so")
    if not os.path.exists(target):
        fresh = f"{target}.{os.getpid()}"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", fresh, source, "-ldl"],
                       stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=120, check=True)
        os.rename(fresh, target)
    return target
