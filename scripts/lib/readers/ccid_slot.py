"""The slot of an emulated reader: where a card program connects, on vpcd's protocol."""

import contextlib
import select
import socket
import threading

OFF, ON, RESET, ATR = b"\x00", b"\x01", b"\x02", b"\x04"


class Gone(Exception):
    """There is no card in the slot, or no longer."""


class Slot:
    def __init__(self, port, log):
        self.log = log
        self.link = None
        self.open = True
        self.powered = False
        self.changed = False  # since the reader last told
        self.insertions = 0
        self.server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            link, _ = self.server.accept()
            if not self.open or self.present():
                link.close()
                continue
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.link, self.changed = link, True
            self.insertions += 1
            print("card inserted", file=self.log)

    def lift(self):
        self.open = False
        self._drop(self.link)

    def insert(self):
        self.open = True

    def _drop(self, link):
        if link is None or link is not self.link:
            return
        self.link, self.powered, self.changed = None, False, True
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        link.close()
        print("card removed", file=self.log)

    def present(self):
        """Whether there is a card: a program that has ended is a card that has left."""
        link = self.link
        if link is not None:
            try:
                ended = select.select([link], [], [], 0)[0] and not link.recv(1, socket.MSG_PEEK)
            except (OSError, ValueError):
                ended = True
            if ended:
                self._drop(link)
        return self.link is not None

    def tell(self, message):
        """Send what is not answered."""
        self._with_link(lambda link: _send(link, message))

    def ask(self, message):
        return self._with_link(lambda link: _send(link, message) or _receive(link))

    def _with_link(self, act):
        link = self.link
        if link is None:
            raise Gone
        try:
            return act(link)
        except (OSError, ValueError):
            self._drop(link)
            raise Gone from None


def _send(link, message):
    link.sendall(len(message).to_bytes(2, "big") + message)


def _receive(link):
    return _exactly(link, int.from_bytes(_exactly(link, 2), "big"))


def _exactly(link, count):
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data
