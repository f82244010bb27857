"""The reader: frames on its serial line (GemPC Twin), the CCID messages in them, and the faults that it shows.

It exchanges TPDUs, as that reader does; after the escape 1F 02, which the driver sends when its option 2 is set, short
APDUs.
"""

import contextlib
import json
import os
import select
import threading
import tty

from ccid_card import Atr, Chip, xor
from ccid_slot import ATR, OFF, ON, RESET, Gone
from ccid_t0 import T0
from ccid_t1 import T1

# The reader answers with this status and error although the card has received the block.
_ERRORS = {
    "hw": (0x40, 0xFB),
    "parity": (0x40, 0xFD),
    "mute": (0x40, 0xFE),
    "noicc": (0x42, 0xFE),
    "overrun": (0x40, 0xFC),
    "busy": (0x40, 0xE0),
}
# lrc: wrong frame checksum; nak: the reader did not get the frame; silent: no answer; edc: wrong checksum of the card's
# block; cut: a byte of the card's answer is missing; lift: the card is removed at this block, reported as `edge` says.
FAULTS = (*_ERRORS, "lrc", "nak", "silent", "edc", "cut", "lift")

_SYNC, _CTRL_ACK, _CTRL_NAK = 0x03, 0x06, 0x15
_NAK = bytes([_SYNC, _CTRL_NAK, _SYNC ^ _CTRL_NAK])
_MORE_TIME = b"\x80"
_HEADER = 10
_FIRMWARE = b"GemTwin-V2.10-GF02"

_POWER_ON, _POWER_OFF, _SLOT_STATUS, _XFR_BLOCK, _SET_PARAMETERS, _ESCAPE = 0x62, 0x63, 0x65, 0x6F, 0x61, 0x6B
_DATA_BLOCK, _STATUS, _PARAMETERS, _ESCAPED, _SLOT_CHANGE = 0x80, 0x81, 0x82, 0x83, 0x50
_FAILED, _NO_CARD = 0x40, 0x02
_MUTE = 0xFE


class Faults:
    """Which faults are to come, counted in blocks."""

    def __init__(self):
        self.lock = threading.Lock()
        self.planned = []
        self.met = 0

    def plan(self, name, at, count=1):
        with self.lock:
            self.planned.append([name, at, count])

    def clear(self):
        with self.lock:
            self.planned.clear()

    def next(self):
        """The fault of this block, if there is one."""
        found = None
        with self.lock:
            for one in self.planned:
                one[1] -= 1
                if one[1] <= 0:
                    found, one[2] = one[0], one[2] - 1
            self.planned = [one for one in self.planned if one[2] > 0]
            self.met += found is not None
        return found


class Reader:
    def __init__(self, link, slot, settings, log):
        self.slot, self.settings, self.log = slot, settings, log
        self.faults = Faults()
        self.chip = Chip(slot, settings, log)
        self.level = "tpdu"
        self.protocol = None
        self.t0 = self.t1 = None
        self.blocks = self.power_ups = self.absences = 0
        self.escapes = []  # those of programs
        self.tries = (0, 0)  # which insertion, and its power-ups so far
        self._reset(b"\x3b\x00")
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.fchmod(self.slave, 0o666)  # pcscd may run as another user
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(os.ttyname(self.slave), link)

    def stats(self):
        return json.dumps({"blocks": self.blocks, "power_ups": self.power_ups, "absences": self.absences,
                           "faults": len(self.faults.planned), "met": self.faults.met, "level": self.level,
                           "protocol": self.protocol, "escapes": self.escapes, "commands": self.chip.commands,
                           "pseudo_apdus": self.chip.pseudo_apdus, "shown_after": self.chip.shown_after})

    def _write(self, data):
        os.write(self.master, data)

    def serve(self):
        """Obey frames for ever."""
        data = b""
        while True:
            select.select([self.master], [], [])
            data += os.read(self.master, 4096)
            while len(data) >= 2 + _HEADER + 1:
                if data[:2] != bytes([_SYNC, _CTRL_ACK]):
                    data = data[1:]
                    continue
                end = 2 + _HEADER + int.from_bytes(data[3:7], "little") + 1
                if len(data) < end:
                    break
                frame, data = data[:end], data[end:]
                self._frame(frame)

    def _frame(self, frame):
        self._write(frame)  # this reader repeats what it gets
        if xor(frame):
            self._write(_NAK)
            return
        command = frame[2:-1]
        fault = self.faults.next() if command[0] == _XFR_BLOCK else None
        if fault == "nak":
            self._write(_NAK)
            return
        if fault == "lift":
            self.slot.lift()
            fault = self.settings["edge"]
        self.slot.present()
        if self.slot.changed:
            self.slot.changed = False
            self._write(bytes([_SLOT_CHANGE, 3 if self.slot.link else 2]))
        answer = self._answer(command)
        if fault in _ERRORS:
            answer = self._reply(command, _DATA_BLOCK, b"", *_ERRORS[fault])
        if command[0] != _SLOT_STATUS:
            print(f"{command.hex()} -> {answer.hex() if answer else 'nothing'} {fault or ''}", file=self.log)
        if answer is not None and fault != "silent":
            self._send(answer, fault)

    def _send(self, answer, fault):
        if fault == "edc":
            answer = answer[:-1] + bytes([answer[-1] ^ 0x55])
        if fault == "cut":
            answer = answer[:1] + (len(answer) - _HEADER - 1).to_bytes(4, "little") + answer[5:-1]
        whole = bytes([_SYNC, _CTRL_ACK]) + answer
        self._write(whole + bytes([xor(whole) ^ (0x77 if fault == "lrc" else 0)]))

    def _reply(self, command, kind, data=b"", status=0, error=0, last=0):
        return bytes([kind, *len(data).to_bytes(4, "little"), command[5], command[6], status, error, last]) + data

    def _state(self):
        if not self.slot.present():
            return _NO_CARD
        return 0 if self.slot.powered else 1

    def _answer(self, command):
        kind, data, state = command[0], command[_HEADER:], self._state()
        try:
            if kind == _POWER_ON:
                return self._power_on(command)
            if kind == _POWER_OFF:
                if self.slot.powered:
                    self.slot.powered = False
                    self.slot.tell(OFF)
                return self._reply(command, _STATUS, b"", state or 1)
            if kind == _XFR_BLOCK:
                return self._block(command, data, state)
        except Gone:
            if kind != _XFR_BLOCK:
                return self._reply(command, _DATA_BLOCK, b"", _FAILED | _NO_CARD, _MUTE)
            edge = self.settings["edge"]
            return None if edge == "silent" else self._reply(command, _DATA_BLOCK, b"", *_ERRORS[edge])
        if kind == _SLOT_STATUS:
            self.absences += state == _NO_CARD
            return self._failing("slot", command, _STATUS) or self._reply(command, _STATUS, b"", state)
        if kind == _SET_PARAMETERS:
            if refused := self._failing("params", command, _PARAMETERS):
                return refused
            self.protocol = command[7]
            return self._reply(command, _PARAMETERS, data, state, 0, self.protocol)
        if kind == _ESCAPE:
            return self._escape(command, data, state)
        return self._reply(command, _STATUS, b"", _FAILED | state)

    def _failing(self, setting, command, kind):
        error = self.settings[setting]
        return None if error == "ok" else self._reply(command, kind, b"", _FAILED | self._state(), int(error, 16))

    def _reset(self, atr):
        self.protocol = None
        parsed = Atr(atr)
        self.t0 = T0(self.chip, self.settings, self.log, lambda: self._write(_MORE_TIME))
        self.t1 = T1(self.chip, parsed, self.settings, self.log)

    def _power_on(self, command):
        if not self.slot.present():
            raise Gone
        self.power_ups += 1
        insertion, tries = self.tries
        self.tries = (self.slot.insertions, tries + 1 if insertion == self.slot.insertions else 1)
        self.slot.tell(RESET if self.slot.powered else ON)
        atr = self.slot.ask(ATR)
        atr = bytes.fromhex(self.settings["atr"]) or atr
        if self.tries[1] <= self.settings.number("late"):
            return self._reply(command, _DATA_BLOCK, b"", _FAILED | 1, _MUTE)
        self.slot.powered = True
        self._reset(atr)
        return self._reply(command, _DATA_BLOCK, atr)

    def _escape(self, command, data, state):
        if data == b"\x02":
            return self._reply(command, _ESCAPED, _FIRMWARE, state)
        if data == b"\x1f\x02":
            self.level = "apdu"
        elif data == b"\x6a":
            return self._reply(command, _ESCAPED, b"", _FAILED | state)
        elif data != b"\x01\x01\x01":  # the driver's own, too
            self.escapes.append(data.hex().upper())
            self.chip.note_shown()
            return self._reply(command, _ESCAPED, bytes.fromhex(self.settings["escape"]), state)
        return self._reply(command, _ESCAPED, b"", state)

    def _block(self, command, data, state):
        if state:
            return self._reply(command, _DATA_BLOCK, b"", _FAILED | state, _MUTE)
        self.blocks += 1
        if self.protocol is None and data[:1] == b"\xff":
            answer = data if self.settings["pps"] == "echo" else None
        elif self.level == "apdu":
            answer = self._apdu(data)
        else:
            answer = (self.t1 if self.protocol == 1 else self.t0).exchange(data)
        if answer is None:
            return self._reply(command, _DATA_BLOCK, b"", _FAILED, _MUTE)
        return self._reply(command, _DATA_BLOCK, answer)

    def _apdu(self, apdu):
        if self.protocol != 1:
            return self.t0.short_apdu(apdu)
        if self.chip.shuns(apdu):
            return self.chip.shunned(apdu)
        self.chip.begin(apdu)
        while (answer := self.chip.result()) is None:
            self._write(_MORE_TIME)
        return answer
