"""with-readers: runs COMMAND inside a private PC/SC stack. See USAGE below.

Two processes. This one is COMMAND's parent and stays in its terminal and process group; the stack process
(stack.py) owns pcscd and the cards. Each cleans up after the other, so a SIGKILL of either leaves nothing behind.
"""

import argparse
import contextlib
import fcntl
import glob
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile

import process
import stack
from cards import KINDS
from ccid_settings import Settings
from drivers import LEVELS
from pcscd import build_preload

_HERE = os.path.dirname(os.path.abspath(__file__))
_PREFIX = "rollcall-stack-"
_SIGNALS = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1}
_FROM_KERNEL = 0x80  # si_code of a signal that the terminal sent, to COMMAND as well
_GRACE = 10.0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/with-readers", add_help=False, allow_abbrev=False)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--card", default="applet")
    parser.add_argument("--platform", choices=["strict", "lenient"], default="strict")
    parser.add_argument("--driver", default="vpcd")
    parser.add_argument("--setting", action="append", default=[])
    parser.add_argument("--polkit", action="store_true")
    parser.add_argument("--start-key-file", type=os.path.abspath)
    parser.add_argument("--logs", type=os.path.abspath)
    parser.add_argument("--patience", type=float, default=60.0)
    if "--" not in arguments:
        parser.error("say what to run: -- COMMAND…")
    split = arguments.index("--")
    options = parser.parse_args(arguments[:split])
    options.command = arguments[split + 1 :]
    if not options.command:
        parser.error("say what to run: -- COMMAND…")
    if not 0 <= options.readers <= 16:
        parser.error("--readers: 0 to 16, pcscd has no more")
    if options.driver not in ("vpcd", "ccid", *(f"ccid:{level}" for level in LEVELS)):
        parser.error(f"--driver: {options.driver!r} is none of vpcd, ccid, {', '.join(f'ccid:{level}' for level in LEVELS)}")
    if options.setting and options.driver == "vpcd":
        parser.error("--setting is for the readers of --driver ccid")
    for setting in options.setting:
        try:
            Settings().change(setting)
        except ValueError as error:
            parser.error(f"--setting: {error}")
    kinds = options.card.split(",")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        parser.error(f"--card: {unknown[0]!r} is none of {', '.join(KINDS)}")
    options.kinds = (kinds + [kinds[-1]] * options.readers)[: options.readers]
    return options


def make_folder():
    """A fresh folder for this stack, locked as long as it is in use; what crashed runs left is removed."""
    root = tempfile.gettempdir()
    if len(root) > 40:
        root = "/tmp"  # paths of UNIX sockets are short
    for old in glob.glob(os.path.join(root, _PREFIX + "*")):
        remove_stale(old)
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=root)
        name = os.path.join(folder, "lock")
        lock = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A run that started at the same moment may have taken it for stale before it was locked, and removed it.
        if os.path.exists(name):
            return folder
        os.close(lock)


def remove_stale(folder):
    try:
        if os.stat(folder).st_uid != os.geteuid():
            return
        lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # just being made, or just being removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        clean_up(folder)
    except OSError:
        pass
    finally:
        os.close(lock)


def fill_bin(folder, rollcall):
    """The programs that COMMAND finds first on its PATH."""
    bin_folder = os.path.join(folder, "bin")
    os.mkdir(bin_folder)
    if rollcall:
        os.symlink(rollcall, os.path.join(bin_folder, "rollcall"))
    control = shlex.join([sys.executable, "-E", "-s", "-S", os.path.join(_HERE, "control.py"), os.path.join(folder, "control")])
    for name in ("card", "reader", "pcsc-stack"):
        path = os.path.join(bin_folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec {control} {name} "$@"\n')
        os.chmod(path, 0o755)
    return bin_folder


def start_stack(folder, options, settings):
    """Fork the stack process. Returns its pid and the lifeline: it ends when that closes."""
    read_end, lifeline = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid != 0:
        os.close(read_end)
        return pid, lifeline
    status = 70
    try:
        os.close(lifeline)
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
            signal.signal(signum, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

        def ready(variables):
            with open(os.path.join(folder, "variables.json"), "w", encoding="utf-8") as file:
                json.dump(variables, file)
            os.kill(parent, signal.SIGUSR1)

        status = stack.run(read_end, folder, options, settings, ready)
    except SystemExit as end:
        status = end.code
    finally:
        if is_orphan(read_end):
            clean_up(folder)
        sys.stderr.flush()
        os._exit(status)


def is_orphan(lifeline):
    """Whether the other end of the lifeline was closed without a word. The pipe of a process that is killed closes before it
    ceases to be our parent."""
    os.set_blocking(lifeline, False)
    try:
        return os.read(lifeline, 1) == b""
    except BlockingIOError:
        return False


def clean_up(folder):
    process.sweep(folder)
    process.sweep(process.inner(folder))
    shutil.rmtree(folder, ignore_errors=True)


def await_ready(pid, deadline_signals):
    """Wait until the stack is up. Returns None, or the exit status to end with."""
    while True:
        info = signal.sigwaitinfo(_SIGNALS)
        if info.si_signo == signal.SIGUSR1:
            return None
        if info.si_signo == signal.SIGCHLD:
            done, raw = os.waitpid(pid, os.WNOHANG)
            if done:
                deadline_signals["reaped"] = True
                code = os.waitstatus_to_exitcode(raw)
                return code if code > 0 else 69
        else:
            return 128 + info.si_signo


def attend(command, stack_pid, reaped):
    """Wait for COMMAND's end, passing signals on. Returns its status."""
    asked = False
    while command.poll() is None:
        info = signal.sigtimedwait(_SIGNALS, _GRACE) if asked else signal.sigwaitinfo(_SIGNALS)
        if info is None:
            command.send(signal.SIGKILL)
        elif info.si_signo == signal.SIGCHLD:
            if not reaped.get("reaped") and os.waitpid(stack_pid, os.WNOHANG)[0]:
                reaped["reaped"] = True
                print("with-readers: the stack ended under the command", file=sys.stderr, flush=True)
                command.send(signal.SIGTERM)
                asked = True
        elif info.si_signo != signal.SIGUSR1:
            if info.si_code != _FROM_KERNEL:
                command.send(info.si_signo)
                asked = True  # a shell's background commands ignore SIGINT: then the grace runs out
    return command.status


def environment(folder, bin_folder):
    env = dict(os.environ)
    with open(os.path.join(folder, "variables.json"), encoding="utf-8") as file:
        env.update(json.load(file))
    env[process.MARK] = folder
    env["PATH"] = bin_folder + os.pathsep + env.get("PATH", os.defpath)
    if not env.get("ROLLCALL_HOME"):
        env["ROLLCALL_HOME"] = os.path.join(folder, "home")
        os.mkdir(env["ROLLCALL_HOME"], 0o700)
    return env


def lenient(options):
    """What the bridge is told where the strict platform is not wanted."""
    return ["--platform", "lenient"] if options.platform == "lenient" else []


def main():
    if sys.argv[1:2] == ["--only-check-usage"]:
        parse(sys.argv[2:])
        return 0
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    options = parse(sys.argv[1:])
    settings = {
        "rollcall": os.environ.get("ROLLCALL_BIN_RESOLVED"),
        "bridge": [*shlex.split(os.environ.get("ROLLCALL_BRIDGE", "")), *lenient(options)],
        "preload": build_preload(os.path.join(_HERE, "vpcd_preload.c")),
    }
    for name in ("ROLLCALL_BIN_RESOLVED", "ROLLCALL_BRIDGE", "PCSCLITE_CSOCK_NAME", process.MARK):
        os.environ.pop(name, None)
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    folder = make_folder()
    reaped = {}
    stack_pid = lifeline = None
    try:
        bin_folder = fill_bin(folder, settings["rollcall"])
        stack_pid, lifeline = start_stack(folder, options, settings)
        status = await_ready(stack_pid, reaped)
        if status is None:
            env = environment(folder, bin_folder)
            program = shutil.which(options.command[0], path=env["PATH"])
            if program is None:
                print(f"with-readers: {options.command[0]}: command not found", file=sys.stderr, flush=True)
                status = 127
            else:
                command = process.Process(options.command, env, own_session=False, mask=old_mask)
                status = attend(command, stack_pid, reaped)
        process.sweep(folder)
    finally:
        if lifeline is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended before us
                os.write(lifeline, b".")
            os.close(lifeline)
            end_stack(stack_pid, reaped)
        clean_up(folder)
    return status


def end_stack(pid, reaped):
    """The lifeline is closed: the stack ends by itself. Help if it does not."""
    if reaped.get("reaped"):
        return
    pidfd = os.pidfd_open(pid)
    waiter = process.select.poll()
    waiter.register(pidfd, process.select.POLLIN)
    if not waiter.poll(_GRACE * 1000):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pidfd)


if __name__ == "__main__":
    sys.exit(main())
