"""How a Windows program of 32 bits is started here: with the host's wine, or with that of a Debian root of our own.

Each of our processes has a prefix of its own, and with it a wineserver. That of wine 8.0 was seen to abort
while it served several, and the programs of an aborted server end, with status 0 and without a word: one run must not end the machines of another.
"""

import fcntl
import filecmp
import os
import shutil
import subprocess
import sys

# Where the root is created; ROLLCALL_VM_CACHE overrides it.
CACHE = os.environ.get("ROLLCALL_VM_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rollcall", "vm"
)
CONFIG = 78

# Without wine's services, which take seconds to start and outlive a server that aborts.
QUIET = ["WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=;wineboot.exe,services.exe=d"]
INIT = ["WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml="]
# The files of a prefix that wine writes; the programs are shared.
OWN = ("system.reg", "user.reg", "userdef.reg", ".update-timestamp")
# The root has no /proc, which wine needs to find its own files.
INSIDE = [
    "/usr/bin/env",
    "-i",
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/work",
    "WINEDLLPATH=/usr/lib/i386-linux-gnu/wine",
]
NOWHERE = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Missing(Exception):
    """Something that this machine has not; `hint` says how to get it."""

    def __init__(self, what, hint):
        super().__init__(what)
        self.hint = hint


class Wine:
    """A wine that runs 32-bit programs. The programs see the folder `work` as their current one."""

    def __init__(self, cache=CACHE):
        self.root = os.path.join(cache, "root")
        self.in_root = os.path.exists(os.path.join(self.root, "ready"))
        if self.in_root:
            self.work = os.path.join(self.root, "work")
            self.command = ["chroot", self.root]
            if os.geteuid() != 0:
                self.command = ["unshare", "--map-root-user", *self.command]
            self.wine, self.server = "/usr/lib/wine/wine", "/usr/lib/wine/wineserver"
        elif shutil.which("wine") and self.has_32_bits():
            self.work = os.path.join(cache, "work")
            self.command = []
            self.wine, self.server = "wine", "wineserver"
        else:
            raise Missing(
                "there is no wine for 32-bit programs",
                "as root on Debian: scripts/applet-vm setup (debootstrap makes an i386 root with wine32 in "
                f"{cache}, 1.2 GB); elsewhere install wine with 32-bit support",
            )
        self.folder = os.path.dirname(self.work)
        self.prefix = os.path.join(self.folder, f"wine-{os.getpid()}")
        self.made = False
        os.makedirs(self.work, exist_ok=True)

    def environment(self, prefix, settings=QUIET):
        """The command that sets the environment of a program of this prefix."""
        if not self.in_root:
            return ["/usr/bin/env", *settings, f"WINEPREFIX={prefix}"]
        return [*self.command, *INSIDE, *settings, f"WINEPREFIX=/{os.path.basename(prefix)}"]

    def own(self):
        """Makes the prefix of this process, from the one that all share, and takes away those of ended processes."""
        base = os.path.join(self.folder, "wine")
        with open(os.path.join(self.work, "prefix.lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(os.path.join(base, "system.reg")):
                initialise(self.environment(base, INIT), self.wine, self.server)
            for name in os.listdir(self.folder):
                pid = name.removeprefix("wine-")
                if pid != name and pid.isdigit() and (pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}")):
                    self.discard(os.path.join(self.folder, name))
            fresh = self.prefix + ".new"
            shutil.rmtree(fresh, ignore_errors=True)
            os.makedirs(fresh)
            for name in OWN:
                shutil.copy2(os.path.join(base, name), fresh)
            shutil.copytree(os.path.join(base, "dosdevices"), os.path.join(fresh, "dosdevices"), symlinks=True)
            os.symlink("../wine/drive_c", os.path.join(fresh, "drive_c"))
            os.rename(fresh, self.prefix)

    def discard(self, prefix):
        """Takes a prefix away, and the folder that its server had."""
        try:
            # Debian's wine stores the name of its server folder here.
            with open(os.path.join(prefix, "wineserver"), encoding="ascii") as name:
                shutil.rmtree(os.path.join(self.folder, "tmp", os.path.basename(name.read().strip())))
        except OSError:
            pass
        shutil.rmtree(prefix, ignore_errors=True)

    @staticmethod
    def has_32_bits():
        folders = ("/usr/lib/wine", "/usr/lib32/wine", "/usr/lib/i386-linux-gnu/wine")
        return any(os.path.exists(os.path.join(folder, "wine")) for folder in folders)

    def bring(self, program):
        """Copies a program into the folder `work`, unless it is there: it may be running."""
        to = os.path.join(self.work, os.path.basename(program))
        if not os.path.exists(to) or not filecmp.cmp(program, to, shallow=False):
            shutil.copyfile(program, f"{to}.{os.getpid()}")
            os.rename(f"{to}.{os.getpid()}", to)

    def keep(self):
        """Has this process's server run, and stay for a while after the last program: its start takes a second.

        Where it runs already this does nothing.
        """
        if not self.made:
            self.own()
            self.made = True
        with open(os.path.join(self.prefix, "server.log"), "ab") as log:
            subprocess.run(
                [*self.environment(self.prefix), self.server, "-p20"], **{**NOWHERE, "stderr": log}, check=False
            )

    def last_words(self):
        """What the server said when it ended by a fault of its own."""
        try:
            with open(os.path.join(self.prefix, "server.log"), encoding="utf-8", errors="replace") as log:
                return " ".join(log.read().split())[-200:]
        except OSError:
            return ""

    def argv(self, program, *args):
        """The command that runs a program of the folder `work`; its process becomes that program."""
        if not self.in_root:
            return [*self.environment(self.prefix), self.wine, program, *args]
        # coreutils' chroot leaves us in /.
        inside = ["/bin/sh", "-c", 'cd /work && exec "$@"', "sh", self.wine, program, *args]
        return [*self.environment(self.prefix), *inside]


def initialise(environment, wine, server):
    """Makes a prefix; the server writes its last files when it ends."""
    subprocess.run([*environment, wine, "wineboot", "--init"], **NOWHERE, check=True)
    subprocess.run([*environment, server, "-w"], **NOWHERE, check=False)


def setup(cache=CACHE):
    """Makes the root: an i386 Debian of the same release as the host's, from the host's own mirror."""
    root = os.path.join(cache, "root")
    if os.path.exists(os.path.join(root, "ready")):
        print(f"it is there: {root}")
        return
    if os.geteuid() != 0:
        raise Missing("only root can make the root", "sudo scripts/applet-vm setup")
    if not shutil.which("debootstrap"):
        raise Missing("there is no debootstrap", "apt-get install debootstrap")
    suite, mirror = "bookworm", "http://deb.debian.org/debian"
    with open("/etc/os-release", encoding="utf-8") as about:
        names = dict(line.strip().split("=", 1) for line in about if "=" in line)
    if names.get("ID") == "debian" and names.get("VERSION_CODENAME"):
        suite = names["VERSION_CODENAME"].strip('"')
    os.makedirs(cache, exist_ok=True)
    print(f"debootstrap of {suite} for i386 with wine32 into {root}: some minutes, 1.2 GB", flush=True)
    argv = ["debootstrap", "--arch=i386", "--variant=minbase", "--include=wine,wine32", suite, root, mirror]
    log = os.path.join(cache, "setup.log")
    with open(log, "ab") as out:
        if subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode != 0:
            raise Missing(f"debootstrap failed, see {log}", f"rm -r {root}; then scripts/applet-vm setup")
    finish(root)


def finish(root):
    """The rest of the setup: wine's own folder."""
    for folder in ("work", "wine", "dev"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    null = os.path.join(root, "dev/null")
    if not os.path.exists(null):
        os.mknod(null, 0o20666, os.makedev(1, 3))
    environment = ["chroot", root, *INSIDE, *INIT, "WINEPREFIX=/wine"]
    initialise(environment, "/usr/bin/wine", "/usr/lib/wine/wineserver")
    with open(os.path.join(root, "ready"), "w", encoding="ascii"):
        pass


if __name__ == "__main__":
    try:
        setup()
    except Missing as missing:
        print(f"error: {missing}\nhint: {missing.hint}", file=sys.stderr)
        sys.exit(CONFIG)
