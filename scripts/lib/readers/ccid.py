"""A CCID reader with one slot on a pseudo terminal, for Debian's serial driver of libccid (libccidtwin.so).

    ccid.py --tty LINK --card PORT --control SOCKET [--log FILE] [NAME=VALUE]…

LINK becomes a symbolic link to the terminal: `DEVICENAME LINK:GemPCTwin` in pcscd's reader.conf. A card is a program that
connects to PORT of 127.0.0.1 and speaks vpcd's protocol. The settings are those of SETTINGS; what they decide no real
reader was asked. SOCKET takes one command a line and answers each with `ok` or `error TEXT`:

    NAME=VALUE         a setting, from now on
    FAULT AT [COUNT]   at the AT-th block from now on, COUNT times (1); FAULT is one of ccid_reader.FAULTS
    calm               faults that have not happened will not
    lift, insert       the slot is emptied, and takes a card again
    stats              `ok JSON`: blocks, power-ups, and how often the driver was told of an empty slot; faults to come,
                       blocks that met one, the level and the protocol; how many commands the card got; the escapes and
                       pseudo-APDUs of programs, as hexadecimal, and how many commands the card had had by each
"""

import contextlib
import os
import socket
import sys
import threading

import ccid_reader
from ccid_settings import Settings
from ccid_slot import Slot


def obey(line, reader, settings, slot):
    """The answer to one command."""
    words = line.split()
    if not words:
        raise ValueError("no command")
    if "=" in words[0]:
        settings.change(line.strip())
    elif words[0] == "calm":
        reader.faults.clear()
    elif words in (["lift"], ["insert"]):
        getattr(slot, words[0])()
    elif words[0] == "stats":
        return f"ok {reader.stats()}"
    elif words[0] in ccid_reader.FAULTS and len(words) in (2, 3):
        reader.faults.plan(words[0], *map(int, words[1:]))
    else:
        raise ValueError(f"unknown command: {words[0]}")
    return "ok"


def listen(server, *parts):
    while True:
        link, _ = server.accept()
        with link, contextlib.suppress(OSError):
            for line in link.makefile(encoding="utf-8"):
                try:
                    answer = obey(line, *parts)
                except ValueError as error:
                    answer = f"error {error}"
                link.sendall((answer + "\n").encode())


def main(words):
    options = {}
    settings = Settings()
    while words:
        word = words.pop(0)
        if word in ("--tty", "--card", "--control", "--log"):
            options[word[2:]] = words.pop(0)
        else:
            settings.change(word)
    log = open(options.get("log", os.devnull), "a", buffering=1, encoding="utf-8")  # as long as the process
    slot = Slot(int(options["card"]), log)
    reader = ccid_reader.Reader(options["tty"], slot, settings, log)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(options["control"])
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(options["control"])
    server.listen(16)
    threading.Thread(target=listen, args=(server, reader, settings, slot), daemon=True).start()
    reader.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
