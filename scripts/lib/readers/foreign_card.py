"""A card of somebody else's on the vpcd protocol: HOST:PORT. It has an ATR and refuses every command with 6D00.

It also shows all that a card program must do: connect, try again while nobody listens, answer every ATR request and
every command in one write, and nothing else.
"""

import socket
import sys
import time

ATR = bytes.fromhex("3B80800101")  # contactless, ISO 14443-4, no historical bytes
REFUSED = bytes.fromhex("6D00")


def exactly(link, count):
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


def serve(link):
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        frame = exactly(link, int.from_bytes(exactly(link, 2), "big"))
        if len(frame) > 1:
            answer = REFUSED
        elif frame == b"\x04":
            answer = ATR
        else:
            continue  # power off, power on, reset: no answer
        link.sendall(len(answer).to_bytes(2, "big") + answer)


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=5) as link:
                link.settimeout(None)
                serve(link)
        except OSError:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
