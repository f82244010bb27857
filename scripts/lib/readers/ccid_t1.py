"""A card's side of T=1, block by block (ISO/IEC 7816-3, 11). The driver has the other side."""

from ccid_card import crc, xor

_IFSD_AT_FIRST = 32


class T1:
    def __init__(self, chip, atr, settings, log):
        self.chip, self.atr, self.settings, self.log = chip, atr, settings, log
        self.ifsd = _IFSD_AT_FIRST
        self.last = b""
        self._restart()

    def _restart(self):
        self.send_number = self.receive_number = 0
        self.command, self.answers = b"", []

    def _check(self, head):
        return crc(head) if self.atr.crc else bytes([xor(head)])

    def _block(self, pcb, data=b""):
        head = bytes([0, pcb, len(data)]) + data
        self.last = head + self._check(head)
        return self.last

    def _acknowledge(self, error=0):
        return self._block(0x80 | self.receive_number << 4 | error)

    def exchange(self, block):
        """The card's block; None: it says nothing."""
        end = 2 if self.atr.crc else 1
        head, check = block[:-end], block[-end:]
        if len(block) < 3 + end or check != self._check(head) or head[2] != len(head) - 3:
            return self._acknowledge(error=1)
        pcb, data = head[1], head[3:]
        if not pcb & 0x80:
            return self._information(pcb, data)
        if pcb & 0xC0 == 0x80:
            wants_next = self.answers and pcb >> 4 & 1 == self.send_number
            return self._next() if wants_next else self.last
        if pcb == 0xC0:
            self._restart()
            return self._block(0xE0)
        if pcb == 0xC1:
            self.ifsd = data[0]
            return self._block(0xE1, data)
        return self._answer() if pcb == 0xE3 else self._acknowledge(error=2)

    def _information(self, pcb, data):
        if pcb >> 6 & 1 != self.receive_number or len(data) > self.atr.ifsc:
            print(f"  not block {self.receive_number}, or over {self.atr.ifsc} bytes", file=self.log)
            return self._acknowledge(error=2)
        self.receive_number ^= 1
        self.command += data
        if pcb & 0x20:
            return self._acknowledge()
        apdu, self.command = self.command, b""
        if len(apdu) > 261 and self.settings["long"] == "mute":
            return None
        if self.chip.shuns(apdu):
            answer = self.chip.shunned(apdu)
            return answer and self._send(answer)
        self.chip.begin(apdu)
        return self._answer()

    def _answer(self):
        answer = self.chip.result()
        return self._block(0xC3, b"\x02") if answer is None else self._send(answer)  # S(WTX request), or the answer

    def _send(self, answer):
        self.answers = [answer[at : at + self.ifsd] for at in range(0, len(answer), self.ifsd)]
        return self._next()

    def _next(self):
        data = self.answers.pop(0)
        block = self._block(self.send_number << 6 | (0x20 if self.answers else 0), data)
        self.send_number ^= 1
        return block
