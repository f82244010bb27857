"""How a Windows program of 32 bits is started here: with the host's wine, or with that of a Debian root of our own."""

import filecmp
import os
import shutil
import subprocess
import sys

# Where the root is made unless ROLLCALL_VM_CACHE says otherwise.
CACHE = os.environ.get("ROLLCALL_VM_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rollcall", "vm"
)
CONFIG = 78

QUIET = ["WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml="]
# In the root there is no /proc, by which wine finds its own files.
INSIDE = [
    "/usr/bin/env",
    "-i",
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/work",
    "WINEPREFIX=/wine",
    "WINEDLLPATH=/usr/lib/i386-linux-gnu/wine",
    *QUIET,
]


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
            self.wine = "/usr/lib/wine/wine"
        elif shutil.which("wine") and self.has_32_bits():
            self.work = os.path.join(cache, "work")
            self.command = []
            self.wine = "wine"
        else:
            raise Missing(
                "there is no wine for 32-bit programs",
                "as root on Debian: scripts/applet-vm setup (debootstrap makes an i386 root with wine32 in "
                f"{cache}, 1.2 GB); elsewhere install wine with 32-bit support",
            )
        self.prefix = os.path.join(os.path.dirname(self.work), "wine")
        os.makedirs(self.work, exist_ok=True)

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
        """Has wine's own server stay for two minutes after the last program: without it every start takes a second.

        Where one runs already this does nothing: it is shared by all that run on this root, and must outlive each.
        """
        if self.in_root:
            server = [*self.command, *INSIDE, "/usr/lib/wine/wineserver", "-p120"]
        else:
            server = ["/usr/bin/env", *QUIET, f"WINEPREFIX={self.prefix}", "wineserver", "-p120"]
        subprocess.run(
            server, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )

    def argv(self, program, *args):
        """The command that runs a program of the folder `work`; its process becomes that program."""
        if not self.in_root:
            return ["/usr/bin/env", *QUIET, f"WINEPREFIX={self.prefix}", self.wine, program, *args]
        # chroot of coreutils leaves us in /.
        return [*self.command, *INSIDE, "/bin/sh", "-c", 'cd /work && exec "$@"', "sh", self.wine, program, *args]


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
    argv = ["chroot", root, *INSIDE, "/usr/bin/wine", "wineboot", "--init"]
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    with open(os.path.join(root, "ready"), "w", encoding="ascii"):
        pass


if __name__ == "__main__":
    try:
        setup()
    except Missing as missing:
        print(f"error: {missing}\nhint: {missing.hint}", file=sys.stderr)
        sys.exit(CONFIG)
