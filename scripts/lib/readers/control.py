"""The commands `card`, `reader` and `pcsc-stack` inside a stack. They return when it is done and pcscd has noticed.

    card remove N…|all     lift the card          card mute N…|all     it takes commands and answers nothing
    card insert N…|all     put the same one back  card unmute N…|all   it answers again
    card new N…|all        put a fresh blank one there
    reader N|all COMMAND…  a command for the emulated CCID reader, see ccid.py
    pcsc-stack stop|kill|start|status     the private pcscd: end it, crash it, start it again on the same socket
"""

import os
import signal
import socket
import sys

import pcsc

_NOTICES_WITHIN = 20
_USAGE = {
    "card": "card remove|insert|new|mute|unmute N…|all",
    "reader": "reader N|all NAME=VALUE | FAULT AT [COUNT] | calm | lift | insert | stats",
    "pcsc-stack": "pcsc-stack stop|kill|start|status",
}


def ask(control, line):
    """Send one command to the stack; returns the words after `ok`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(60)
        try:
            link.connect(control)
            link.sendall(f"{line}\n".encode())
            answer = link.makefile(encoding="utf-8").readline().split()
        except OSError as error:
            sys.exit(f"{line}: the stack does not answer: {error}")
    if answer[:1] != ["ok"]:
        sys.exit(f"{line}: {' '.join(answer[1:]) or 'no answer'}")
    return answer[1:]


def do(control, line):
    """Ask, then wait until pcscd shows it."""
    readers, *states = ask(control, line) or ["0"]
    if readers == "0":
        return
    try:
        noticed = pcsc.wait(_NOTICES_WITHIN, int(readers), pcsc.parse(states))
    except OSError as error:
        sys.exit(f"{line}: done, but pcscd cannot be asked: {error}")
    if not noticed:
        sys.exit(f"{line}: done, but pcscd has not noticed within {_NOTICES_WITHIN} s")


def main():
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    control, name, *rest = sys.argv[1:]
    if len(rest) < (1 if name == "pcsc-stack" else 2):
        print(f"usage: {_USAGE[name]}", file=sys.stderr)
        return 2
    # A request for a muted card has to wait, but never without a limit.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_NOTICES_WITHIN + 60)
    verb, numbers = rest[0], " ".join(rest[1:])
    if name == "reader" or (name, verb) == ("pcsc-stack", "status"):
        if told := ask(control, f"{name} {verb} {numbers}".strip()):
            print(" ".join(told))
    elif (name, verb) == ("card", "new"):
        do(control, f"card remove {numbers}")
        do(control, f"card new {numbers}")
        do(control, f"card insert {numbers}")
    else:
        do(control, f"{name} {verb} {numbers}".strip())
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PCSCLITE_CSOCK_NAME", "/nonexistent")
    sys.exit(main())
