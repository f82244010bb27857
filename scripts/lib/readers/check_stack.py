"""Checks with-readers itself, with cards that are none of ours; `scripts/test stack` runs it.

Every check prints `check: NAME ok` or `check: NAME FAILED` with what was found. Exit 0: all held.
"""

import glob
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import process

_HERE = os.path.dirname(os.path.abspath(__file__))
_WITH_READERS = os.path.join(_HERE, "..", "..", "with-readers")
_LIMIT = 90
# shows READERS N=STATE…: whether pcscd shows that within half a second.
# fails COMMAND…: expects failure, because set -e ignores commands negated with "!".
_SHOWS = (f'shows() {{ python3 -E -s -S "{_HERE}/pcsc.py" 0.5 "$@"; }}; fails() {{ if "$@"; then exit 9; fi; }}; set -e; ')


def environment():
    return {**os.environ, "ROLLCALL_BIN": "/bin/true"}


def with_readers(*options, script, **more):
    return subprocess.run([_WITH_READERS, *options, "--", "bash", "-c", script], env=environment(), timeout=_LIMIT,
                          capture_output=True, text=True, check=False, **more)


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def output_and_status_are_the_commands():
    done = with_readers("--card", "none", script="cat; echo error >&2; exit 7", input="through\n")
    expect((done.returncode, done.stdout, done.stderr), (7, "through\n", "error\n"))
    done = with_readers("--card", "none", script="kill -9 $$", stdin=subprocess.DEVNULL)
    expect((done.returncode, done.stdout), (137, ""))


def command_finds_its_environment():
    script = ('test -S "$PCSCLITE_CSOCK_NAME" && test -d "$ROLLCALL_HOME" && test -z "$(ls -A "$ROLLCALL_HOME")" && '
              'set -- $VPCD_PORTS && echo $# $(command -v rollcall card pcsc-stack | xargs -n1 basename)')
    done = with_readers("--readers", "5", "--card", "none", script=script)
    expect((done.returncode, done.stdout), (0, "5 rollcall card pcsc-stack\n"))


def numbers_are_in_pcscs_order():
    script = _SHOWS
    for lifted in (1, 2, 3, 9, 16):
        states = (f"{number}={'empty' if number == lifted else 'present'}" for number in range(1, 17))
        script += f"card remove {lifted}; shows 16 {' '.join(states)}; card insert {lifted}; "
    expect(with_readers("--readers", "16", "--card", "foreign", script=script).returncode, 0)


def kinds_differ_by_reader():
    script = _SHOWS + "shows 4 1=present 2=empty 3=empty 4=empty"
    expect(with_readers("--readers", "4", "--card", "foreign,none", script=script).returncode, 0)


def cards_come_and_go():
    script = _SHOWS + ("card remove 1 3; shows 4 1=empty 2=present 3=empty 4=present; card remove 3; "
                       "card insert 1; card new 2; shows 4 1=present 2=present 3=empty 4=present; "
                       "card insert all; shows 4 1=present 2=present 3=present; fails card remove 5; fails card fold 1")
    expect(with_readers("--readers", "4", "--card", "foreign", script=script).returncode, 0)


def pcscd_comes_and_goes():
    script = _SHOWS + ("pcsc-stack stop; test \"$(pcsc-stack status)\" = stopped; fails shows 1; card remove 2; "
                       "pcsc-stack start; shows 3 1=present 2=empty 3=present; pcsc-stack kill; fails shows 1; "
                       "pcsc-stack start; shows 3 1=present 2=empty 3=present; card insert 2; shows 3 2=present")
    expect(with_readers("--readers", "3", "--card", "foreign", script=script).returncode, 0)


def a_mute_card_can_be_lifted():
    script = _SHOWS + "card mute 2; shows 3 1=present 3=present; card remove 2; shows 3 1=present 2=empty 3=present"
    expect(with_readers("--readers", "3", "--card", "foreign", script=script).returncode, 0)


def readers_of_the_second_driver():
    """Cards come and go, the service too, and a reader takes its settings and faults."""
    script = _SHOWS + ("shows 3 1=present 2=present 3=present; card remove 2; shows 3 1=present 2=empty; card insert 2; "
                       "pcsc-stack stop; fails shows 1; pcsc-stack start; shows 3 1=present 2=present; "
                       "reader 1 slot=FE; reader 1 slot=ok; reader all hw 1; reader 2 stats | grep '\"faults\": 1'; "
                       "reader 2 calm; reader 2 stats | grep '\"faults\": 0'; fails reader 4 calm; fails reader 1 le=kind; "
                       f'fails reader 1 fold 1; reader 3 lift; python3 -E -s -S "{_HERE}/pcsc.py" 5 3 3=empty')
    for driver in ("ccid", "ccid:t0", "ccid:t1", "ccid:apdu"):
        done = with_readers("--readers", "3", "--card", "foreign", "--driver", driver, script=script)
        expect((driver, done.returncode), (driver, 0))


def usage_errors():
    for wrong in (["--readers", "17"], ["--readers", "-1"], ["--card", "paper"], ["--platform", "kind"], ["--fast"],
                  ["--driver", "ccid:t2"], ["--setting", "le=ignore"], ["--driver", "ccid", "--setting", "le=kind"]):
        expect((wrong, with_readers(*wrong, script="true").returncode), (wrong, 2))


def many_at_once():
    command = [_WITH_READERS, "--readers", "4", "--card", "foreign", "--", "bash", "-c",
               _SHOWS + "shows 4 1=present 4=present; card new 3; echo $VPCD_PORTS"]
    running = [subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
               for _ in range(6)]
    ports = []
    for one in running:
        out, _ = one.communicate(timeout=_LIMIT)
        expect(one.returncode, 0)
        ports += out.split()
    expect(len(set(ports)), 24)


class Started:
    """A stack whose command has left children behind and sleeps."""

    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory()
        told = os.path.join(self.scratch.name, "told")
        script = ("setsid sleep 1000 & (sleep 1001 &) ; "
                  f'echo "$ROLLCALL_STACK" > "{told}.new"; mv "{told}.new" "{told}"; sleep 1002')
        self.process = subprocess.Popen([_WITH_READERS, "--card", "foreign", "--", "bash", "-c", script],
                                        env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: os.path.exists(told), "the stack did not start")
        with open(told, encoding="utf-8") as file:
            self.folder = file.read().strip()

    def stack_pid(self):
        """The child that owns pcscd and the cards: the one that is not the command."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        (pid,) = [int(pid) for pid in children if os.getsid(int(pid)) == int(pid)]
        return pid

    def left(self):
        return process.marked(self.folder) + process.marked(process.inner(self.folder)) + glob.glob(self.folder)

    def gone(self):
        until(lambda: not self.left(), lambda: f"left: {self.left()}")


def until(holds, otherwise, seconds=20):
    ends = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.02)


def signals_end_everything():
    for signum, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        one = Started()
        one.process.send_signal(signum)
        expect(one.process.wait(timeout=30), status)
        expect(one.left(), [])


def sigkill_leaves_nothing():
    one = Started()
    one.process.kill()
    one.process.wait()
    one.gone()
    one = Started()
    os.kill(one.stack_pid(), signal.SIGKILL)
    expect(one.process.wait(timeout=30), 143)
    one.gone()


def the_next_run_cleans_up_after_a_double_kill():
    one = Started()
    stack = one.stack_pid()
    os.kill(one.process.pid, signal.SIGSTOP)
    os.kill(stack, signal.SIGKILL)
    one.process.kill()
    one.process.wait()
    until(lambda: not process.marked(process.inner(one.folder)), "pcscd or a card outlives its stack")
    expect(with_readers("--card", "none", script="true").returncode, 0)
    one.gone()


CHECKS = (
    output_and_status_are_the_commands,
    command_finds_its_environment,
    numbers_are_in_pcscs_order,
    kinds_differ_by_reader,
    cards_come_and_go,
    pcscd_comes_and_goes,
    a_mute_card_can_be_lifted,
    readers_of_the_second_driver,
    usage_errors,
    many_at_once,
    signals_end_everything,
    sigkill_leaves_nothing,
    the_next_run_cleans_up_after_a_double_kill,
)


def main():
    wanted = sys.argv[1:]
    failed = 0
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        began = time.monotonic()
        try:
            check()
            verdict = "ok"
        except (AssertionError, OSError, subprocess.SubprocessError):
            traceback.print_exc(file=sys.stdout)
            verdict = "FAILED"
            failed += 1
        print(f"{check.__name__}: {time.monotonic() - began:.1f} s")
        print(f"check: {check.__name__} {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
