"""A card's answers to the TPDUs of T=0 (ISO/IEC 7816-3, 10 and 12.2), as a reader passes them on. Procedure bytes are
between card and reader, and not seen here.
"""

_GET_RESPONSE = 0xC0


def _in_one_byte(length):
    return length if length < 256 else 0


def _is_case_4(apdu):
    return len(apdu) > 6 and apdu[4] > 0 and len(apdu) == 6 + apdu[4]


class T0:
    """`more_time()` tells the driver that the card still computes."""

    def __init__(self, chip, settings, log, more_time):
        self.chip, self.settings, self.log, self.more_time = chip, settings, log, more_time
        self.header, self.data, self.status = b"", b"", b""

    def exchange(self, tpdu):
        """What the card answers; None: the reader gets nothing out of it."""
        if _is_case_4(tpdu):
            how = self.settings["le"]
            if how == "6700":
                return b"\x67\x00"
            if how == "ignore":
                tpdu = tpdu[:-1]
        if len(tpdu) < 4 or len(tpdu) > 5 and len(tpdu) != 5 + tpdu[4]:
            print(f"  no TPDU of T=0: {tpdu.hex()}", file=self.log)
            return None
        if self.chip.shuns(tpdu):
            return self.chip.shunned(tpdu)
        outgoing = len(tpdu) <= 5
        if outgoing and tpdu[1] == _GET_RESPONSE and self.data:
            if not self._class_fits(tpdu[0]):
                return b"\x6e\x00"
            answer = self.data + self.status
        elif outgoing and self.data and tpdu[:4] == self.header:
            answer = self.data + self.status  # the same command, with the Le of 6Cxx
        else:
            answer = self._run(tpdu)
        return self._hand_out(tpdu, outgoing, answer)

    def _class_fits(self, given):
        wanted = {"any": given, "00": 0, "same": self.header[0]}
        return given == wanted[self.settings["class"]]

    def _run(self, tpdu):
        self.header = tpdu[:4]
        self.chip.begin(tpdu)
        while (answer := self.chip.result()) is None:
            self.more_time()
        return answer

    def _hand_out(self, tpdu, outgoing, answer):
        """The part of the answer that this TPDU gets; the rest is kept for GET RESPONSE."""
        data, status = answer[:-2], answer[-2:]
        self.data, self.status = b"", status
        if not data:
            return status
        if not outgoing or len(tpdu) == 4:
            self.data = data
            return bytes([0x61, _in_one_byte(len(data))])
        le = tpdu[4] or 256
        if len(data) < le and self.settings["less"] == "6c":
            self.data = data
            return bytes([0x6C, len(data)])
        if len(data) > le:
            self.data = data[le:]
            return data[:le] + bytes([0x61, _in_one_byte(len(self.data))])
        return answer

    def short_apdu(self, apdu):
        """A reader that takes short APDUs does by itself what T=0 needs."""
        answer = self.exchange(apdu[:-1] if _is_case_4(apdu) else apdu)
        if answer and len(answer) == 2 and answer[0] == 0x6C:
            answer = self.exchange(apdu[:4] + answer[1:])
        if _is_case_4(apdu) and answer and len(answer) == 2 and answer[0] == 0x61:
            wanted = min(apdu[-1] or 256, answer[1] or 256)
            answer = self.exchange(bytes([0, _GET_RESPONSE, 0, 0, _in_one_byte(wanted)]))
        return answer
