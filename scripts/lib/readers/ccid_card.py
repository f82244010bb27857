"""What an emulated reader has in common for cards of T=0 and T=1: the answer to reset, and a card that takes its time."""

import concurrent.futures
import time


class Atr:
    """Of an answer to reset what a reader needs (ISO/IEC 7816-3, 8.2.3)."""

    def __init__(self, atr):
        self.ifsc, self.crc, self.protocols = 32, False, []
        at, follows, level, current, seen = 2, atr[1] >> 4, 1, 0, False
        while follows:
            there = [bit for bit in (1, 2, 4, 8) if follows & bit]
            values = dict(zip(there, atr[at : at + len(there)]))
            at += len(there)
            if level > 2 and current == 1 and not seen:
                self.ifsc, self.crc, seen = values.get(1, 32), bool(values.get(4, 0) & 1), True
            if 8 not in values:
                break
            current, follows, level = values[8] & 15, values[8] >> 4, level + 1
            if current != 15:
                self.protocols.append(current)
        self.protocols = self.protocols or [0]


class Chip:
    """The card behind the slot. It computes in a thread of its own, so that the reader can ask for more time."""

    def __init__(self, slot, settings, log):
        self.slot, self.settings, self.log = slot, settings, log
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.future = None
        self.commands = 0  # those that the card itself got
        self.pseudo_apdus = []  # those of class FF that the reader kept
        self.shown_after = []  # how many commands the card had had, by what the reader itself was told

    def shuns(self, command):
        """Whether the command is one that the card itself never gets (class FF)."""
        return command[:1] == b"\xff" and self.settings["ff"] != "card"

    def shunned(self, command):
        """What becomes of such a command; None: nothing."""
        if self.settings["ff"] == "reader":
            self.pseudo_apdus.append(command.hex().upper())
            self.note_shown()
            return b"\x90\x00"
        return b"\x6e\x00" if self.settings["ff"] == "refuse" else None

    def note_shown(self):
        self.shown_after.append(self.commands)

    def begin(self, apdu):
        self.commands += 1
        self.future = self.pool.submit(self._run, apdu)

    def _run(self, apdu):
        time.sleep(self.settings.number("delay") / 1000)
        answer = self.slot.ask(apdu)
        print(f"  card {apdu.hex()} -> {answer.hex()}", file=self.log)
        return answer

    def result(self):
        """The answer; None when it needs more time than the reader has agreed to."""
        more = self.settings.number("wtx")
        try:
            return self.future.result(more / 1000 if more else None)
        except concurrent.futures.TimeoutError:
            return None


def xor(data):
    value = 0
    for byte in data:
        value ^= byte
    return value


def crc(data):
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value.to_bytes(2, "big")  # as the driver has it
