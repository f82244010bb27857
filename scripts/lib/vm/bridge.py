"""A card on the reference implementation in a reader of vpcd, with the face of rollcall.bridge.VpcdBridge.

    bridge.py --variant FILE --protocol 0|1 [--log FILE] [--tear FILE]
              --connect HOST:PORT --control SOCKET [--start-keys-file FILE] [--atr HEX]

FILE of --variant is what main.py wrote about the packages. --tear names a file that holds `INS FROM TO` when the next
command with that instruction is to be torn after FROM to TO bytes of memory have changed; it is taken away then.
"""

import argparse
import json
import os
import random
import signal
import socket
import sys
import threading

import images
import link
import machine
import tear
import wine

# A contactless card in the form of PC/SC part 3; chaining, and extended length if the link supports it.
ATRS = {0: "3B8580018073C821809E", 1: "3B8580018073C821C0DE"}
READER_PATIENCE = 10.0


class Torn(OSError):
    """The field went."""


class Bridge:
    def __init__(self, given):
        self.given = given
        host, port = given.connect.rsplit(":", 1)
        self.reader = (host, int(port))
        self.atr = bytes.fromhex(given.atr or ATRS[given.protocol])
        self.keys = images.start_keys(given.start_keys_file) if given.start_keys_file else b""
        with open(given.variant, encoding="utf-8") as file:
            self.images = images.Images(wine.Wine(), json.load(file), given.protocol)
        self.log = open(given.log, "a", buffering=1, encoding="utf-8") if given.log else None
        self.card = self.make()
        self.fresh = self.wanted = True
        self.sock = None
        self.changed = threading.Condition()

    def make(self):
        return machine.Card(
            self.images.wine,
            self.given.protocol,
            self.images.blank(self.keys),
            os.urandom(32),
            traced=bool(self.given.tear),
        )

    def note(self, text):
        if self.log:
            self.log.write(f"{os.getpid()} {text}\n")

    def reset(self):
        if not self.fresh:
            self.card.reset()
            self.fresh = True

    def transmit(self, apdu):
        self.fresh = False
        if len(apdu) < 4:
            return b"\x67\0"
        self.tear(apdu)
        try:
            answer = self.card.send(apdu)
        except link.Mute as mute:
            self.note(f"MUTE > {apdu.hex()}: {mute}; {self.card.crashed()}")
            return b"\x6f\0"
        self.note(f"> {apdu.hex()} < {answer.hex()}")
        return answer

    def tear(self, apdu):
        if not self.given.tear or apdu[0] & 0x10 or not os.path.exists(self.given.tear):
            return
        with open(self.given.tear, encoding="ascii") as file:
            ins, least, most = file.read().split()
        if apdu[1] != int(ins, 16):
            return
        os.unlink(self.given.tear)
        after = random.randint(int(least), int(most))
        answered, changed = tear.tear(self.card, apdu, after)
        self.note(
            f"TORN > {apdu[:4].hex()} after {after}: {'answered' if answered else 'torn'}, {changed} bytes changed"
        )
        raise Torn("torn")

    def serve(self):
        while True:
            with self.changed:
                while not self.wanted:
                    self.changed.wait()
            try:
                sock = socket.create_connection(self.reader)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                threading.Event().wait(0.05)
                continue
            with self.changed:
                if not self.wanted:
                    sock.close()
                    continue
                self.sock = sock
                self.changed.notify_all()
            try:
                self.speak(sock)
            except OSError:
                pass
            finally:
                sock.close()
                self.reset()
                with self.changed:
                    self.sock = None
                    self.changed.notify_all()

    def speak(self, sock):
        """vpcd: the length in two bytes, then an APDU, or one byte: 0 off, 1 on, 2 reset, 4 the ATR."""
        while True:
            length = int.from_bytes(receive(sock, 2), "big")
            message = receive(sock, length)
            if length == 1 and message[0] == 4:
                give(sock, self.atr)
            elif length == 1 and message[0] in (0, 1, 2):
                self.reset()
            elif length != 1:
                give(sock, self.transmit(message))

    def remove(self):
        with self.changed:
            self.wanted = False
            if self.sock:
                try:
                    self.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            while self.sock:
                self.changed.wait()

    def insert(self):
        with self.changed:
            self.wanted = True
            self.changed.notify_all()
            if not self.changed.wait_for(lambda: self.sock, READER_PATIENCE):
                raise OSError("no reader listens")

    def obey(self, line):
        if line in ("remove", "quit"):
            self.remove()
        elif line == "insert":
            self.insert()
        elif line == "new":
            self.remove()
            self.end_card()
            self.card = self.make()
            self.fresh = True
            self.insert()
        else:
            return "error unknown command"
        return "ok"

    def end_card(self):
        self.card.close()
        self.note("END " + json.dumps(self.card.used))


def receive(sock, length):
    data = b""
    while len(data) < length:
        more = sock.recv(length - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data


def give(sock, message):
    sock.sendall(len(message).to_bytes(2, "big") + message)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--protocol", type=int, choices=(0, 1), default=1)
    parser.add_argument("--log")
    parser.add_argument("--tear")
    parser.add_argument("--connect", required=True)
    parser.add_argument("--control", required=True)
    parser.add_argument("--start-keys-file")
    parser.add_argument("--atr")
    bridge = Bridge(parser.parse_args())
    if os.path.exists(bridge.given.control):
        os.unlink(bridge.given.control)
    server = socket.socket(socket.AF_UNIX)
    server.bind(bridge.given.control)
    server.listen(4)

    def end(*_):
        bridge.end_card()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=bridge.serve, daemon=True).start()
    while True:
        client, _ = server.accept()
        try:
            serve_control(bridge, client)
        except OSError:
            # The client left before it had its answer; accept the next one.
            continue


def serve_control(bridge, client):
    """One command on each line, and its answer; `quit` ends the process."""
    with client, client.makefile("rw", encoding="utf-8") as lines:
        for line in lines:
            try:
                answer = bridge.obey(line.strip())
            except (OSError, link.Mute, machine.Refused) as error:
                answer = f"error {error}"
            lines.write(answer + "\n")
            lines.flush()
            if line.strip() == "quit":
                bridge.end_card()
                os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
