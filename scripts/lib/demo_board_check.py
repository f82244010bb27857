"""`scripts/demo --board` as somebody has it who looks at the board and then stops it, for `scripts/test demo`.

    demo_board_check.py DEMO [ARGUMENT…]

DEMO runs on a terminal of its own. On the board at the address that it prints somebody must arrive, leave and be refused;
Ctrl-C must end it with exit status 0, and leave neither a process nor a file behind. Exit 0: all of that was so.
"""

import http.client
import json
import os
import pty
import re
import select
import signal
import sys
import tempfile
import time
import urllib.parse

_LINK = re.compile(rb"the board is at (http://\S+)")
# Inherited by everything DEMO starts, to find what is left over.
_MARK = "ROLLCALL_DEMO_CHECK"
_CTRL_C = b"\x03"
_STARTS_WITHIN, _SHOWS_WITHIN, _ENDS_WITHIN = 120, 60, 30


class Failed(Exception):
    """It is not as it should be; the text says what."""


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv, env):
        self.shown = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # Background jobs of a script ignore SIGINT, and a shell would pass that on.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execvpe(argv[0], argv, env)

    def read_until(self, pattern, seconds):
        """The match in what was shown; None: everything has ended that could show something."""
        ends = time.monotonic() + seconds
        while not (found := pattern.search(self.shown) if pattern else None):
            if not select.select([self.master], [], [], max(0, ends - time.monotonic()))[0]:
                raise Failed(f"nothing more within {seconds} s")
            try:
                piece = os.read(self.master, 4096)
            except OSError:  # nobody has the other end
                piece = b""
            if not piece:
                return None
            self.shown += piece
        return found


def await_changes(link):
    """Follow the board until each kind of change was there."""
    missing, ends = {"arrived", "left", "refused"}, time.monotonic() + _SHOWS_WITHIN
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(link).netloc, timeout=_SHOWS_WITHIN)
    connection.request("GET", "/events")
    for line in connection.getresponse():
        if line.startswith(b"data: "):
            data = json.loads(line.removeprefix(b"data: "))
            changes = data["latest"] if "latest" in data else [data]
            missing -= {change["kind"] for change in changes}
        if not missing:
            connection.close()
            return
        if time.monotonic() > ends:
            break
    raise Failed(f"the board does not show: {', '.join(sorted(missing))}")


def marked(value):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if f"{_MARK}={value}".encode() in file.read().split(b"\0"):
                    found.append(name)
        except OSError:  # ended meanwhile, or somebody else's
            pass
    return found


def run(argv, folder):
    terminal = Terminal(argv, {**os.environ, "TMPDIR": folder, _MARK: folder})
    try:
        link = terminal.read_until(_LINK, _STARTS_WITHIN)
        if link is None:
            raise Failed("it ended by itself")
        await_changes(link[1].decode())
        os.write(terminal.master, _CTRL_C)
        terminal.read_until(None, _ENDS_WITHIN)
        status = os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1])
        left = [f"process {pid}" for pid in marked(folder)] + os.listdir(folder)
        if status or left:
            raise Failed(f"exit status {status}; left behind: {', '.join(left) or 'nothing'}")
    except Failed as error:
        print(f"demo_board_check: {error}\n{terminal.shown.decode(errors='replace')}", file=sys.stderr)
        return 1
    finally:
        os.close(terminal.master)  # what still runs there is hung up
    return 0


def main():
    # UNIX socket paths must be short.
    with tempfile.TemporaryDirectory(prefix="rollcall-check-", dir="/tmp") as folder:
        os.chmod(folder, 0o711)  # the service may run as another user
        return run(sys.argv[1:], folder)


if __name__ == "__main__":
    sys.exit(main())
