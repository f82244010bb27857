"""A small PC/SC client on libpcsclite, for waiting until pcscd has noticed something.

    pcsc.py SECONDS READERS [N=present|N=empty]…

waits until there are at least READERS readers and reader N (from 1, in pcscd's order) is in the state that is asked
for. Exit 0: so it is; 1: not within the time. It runs as a process of its own, so that whoever waits can end it when
no answer comes.
"""

import ctypes
import sys
import time

_EMPTY, _PRESENT = 0x0010, 0x0020
_OK, _TIMEOUT = 0x0, 0x8010000A
_SCOPE_SYSTEM = 2


class _ReaderState(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
        ("current", ctypes.c_ulong),
        ("event", ctypes.c_ulong),
        ("atr_size", ctypes.c_ulong),
        ("atr", ctypes.c_ubyte * 33),
    ]


class Client:
    """One PC/SC context."""

    def __init__(self):
        self.library = ctypes.CDLL("libpcsclite.so.1")
        self.context = ctypes.c_long()
        self._check(self.library.SCardEstablishContext(_SCOPE_SYSTEM, None, None, ctypes.byref(self.context)))

    @staticmethod
    def _check(result, allowed=(_OK,)):
        result &= 0xFFFFFFFF
        if result not in allowed:
            raise OSError(f"PC/SC error {result:08X}")
        return result

    def readers(self):
        size = ctypes.c_ulong(0)
        if self.library.SCardListReaders(self.context, None, None, ctypes.byref(size)) & 0xFFFFFFFF != _OK:
            return []
        names = ctypes.create_string_buffer(size.value)
        if self.library.SCardListReaders(self.context, None, names, ctypes.byref(size)) & 0xFFFFFFFF != _OK:
            return []
        return [name for name in names.raw[: size.value].split(b"\0") if name]

    def states(self, names, known, milliseconds):
        """The event states of the readers, as soon as one differs from what is known, or after the time."""
        table = (_ReaderState * len(names))()
        for entry, name, state in zip(table, names, known):
            entry.name, entry.current = name, state
        result = self.library.SCardGetStatusChange(self.context, ctypes.c_ulong(milliseconds), table, len(names))
        self._check(result, (_OK, _TIMEOUT))
        return [entry.event & ~0x2 for entry in table]


def wait(seconds, count, wanted):
    """Wait for `count` readers and for the states in `wanted` ({number: "present" or "empty"})."""
    ends = time.monotonic() + seconds
    client = Client()
    names = client.readers()
    while len(names) < count:
        # No event for this exists in all versions of pcscd, so poll.
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
        names = client.readers()
    watched = sorted(wanted)
    if not watched:
        return True
    chosen = [names[number - 1] for number in watched]
    known = [0] * len(chosen)
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            return False
        known = client.states(chosen, known, int(left * 1000) + 1)
        masks = [_PRESENT if wanted[number] == "present" else _EMPTY for number in watched]
        if all(state & mask for state, mask in zip(known, masks)):
            return True


def parse(words):
    """`["2=empty"]` → `{2: "empty"}`."""
    pairs = (word.split("=") for word in words)
    return {int(number): state for number, state in pairs}


def _main(arguments):
    seconds, count, *rest = arguments
    return 0 if wait(float(seconds), int(count), parse(rest)) else 1


if __name__ == "__main__":
    try:
        sys.exit(_main(sys.argv[1:]))
    except OSError as error:
        sys.exit(f"pcsc: {error}")
