"""The parts of scripts/applet-vm that need neither a kit nor wine, tested: one line for each check."""

import socket
import sys
import threading

import depth
import link
import machine
import scp03
import tear

# A made-up method listing in the converter's format.
LISTING = """
\t.class public final A 2 extends 0.0 {
\t\t.method private static leaf([BS)S 0 {
\t\t\t.stack 3;
\t\t\t.locals 1;
\t\t}
\t\t.method package-visible wide(S)V 1 {
\t\t\t.stack 1;
\t\t\t.locals 9;
\t\t}
\t}
\t.class public RollcallApplet 3 extends 0.1 {
\t\t.method public process(Ljavacard/framework/APDU;)V 7 {
\t\t\t.stack 2;
\t\t\t.locals 1;
\t\t\t\t\tinvokestatic 4;\t\t// rollcall/applet/A.leaf([BS)S
\t\t\t\t\tinvokevirtual 5;\t\t// wide(S)V
\t\t\t\t\tinvokestatic 6;\t\t// javacard/framework/Util.leaf([BS)S
\t\t}
\t}
"""


def depths():
    # process: two arguments, 2 + 1; leaf: 2 + 3 + 1, and its arguments are the caller's operands; wide: 2 + 1 + 9.
    yield (
        "vm: the deepest chain of calls",
        list(depth.entries(LISTING)) == [("process", 5 + 10, ("RollcallApplet.process", "A.wide"))],
    )
    found = depth.methods(LISTING)
    yield "vm: arguments are counted once", depth.deepest(found, ("A", "leaf", "[BS"), {})[0] == 6


def answering(serve, work):
    """What `work` gets from a link whose other end is `serve`."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        thread = threading.Thread(target=serve, args=(theirs,), daemon=True)
        thread.start()
        got = work(ours)
        thread.join(10)
        return got


def blocks():
    sent = []

    def card(sock):
        """Takes a command of two blocks, asks for more time once, and answers in two blocks."""
        peer = link.T1(sock)
        sent.append(peer.answer()[1])
        peer.block(0x90)
        sent.append(peer.answer()[1])
        peer.block(0xC3, b"\1")
        sent.append(peer.answer()[1])
        peer.block(0x20, b"ab")
        sent.append(peer.answer()[1])
        peer.block(0x40, b"c\x90\0")

    got = answering(card, lambda sock: link.T1(sock).send(bytes(range(40))))
    yield "vm: T=1 puts an answer together", got == b"abc\x90\0"
    yield (
        "vm: T=1 cuts a command, grants time, asks for the rest",
        [block[1] for block in sent] == [0x20, 0x40, 0xE3, 0x90],
    )
    yield "vm: T=1 cuts at its size", sent[0][3:-1] + sent[1][3:-1] == bytes(range(40)) and sent[0][2] == 32

    def silent(sock):
        sock.close()

    try:
        answering(silent, lambda sock: link.T1(sock).send(b"\0\xa4\4\0"))
        yield "vm: a card that leaves is mute", False
    except (link.Mute, OSError):
        yield "vm: a card that leaves is mute", True


def tpdus():
    def card(sock):
        """Answers a command with data by 61 03, and GET RESPONSE by three bytes."""
        peer = link.T0(sock)
        first = peer.read()
        peer.write(b"\0\x61\3")
        second = peer.read()
        peer.write(b"\0abc\x90\0")
        seen.extend((first, second))

    seen = []
    got = answering(card, lambda sock: link.T0(sock).send(bytes.fromhex("80CABF2102A60000")))
    yield "vm: T=0 fetches the answer of a command with data", got == b"abc\x90\0"
    yield "vm: T=0 leaves out Le", [one.hex() for one in seen] == ["da80cabf2102a600", "db00c0000003"]
    extended = bytes.fromhex("80CAFF33000000")
    yield (
        "vm: T=0 carries no extended length",
        answering(lambda _: None, lambda sock: link.T0(sock).send(extended)) == b"\x67\0",
    )
    yield "vm: a command without data has P3", link.T0.request(bytes.fromhex("80CAFF33")).hex() == "db80caff3300"


def others():
    said = (
        "Resources consumed -\n Stack:  00001 (0x1) maximum used\nResources consumed -\n"
        " Stack:    00352 (0x0160) maximum used\n"
        "Transaction buffer:    03249 (0x0cb1) maximum used,    03560 (0x0de8) size\n"
    )
    yield "vm: the figures are those at the end", machine.figures(said) == {"stack": 352, "commit": 3249}
    yield (
        "vm: changed bytes are counted",
        (tear.changes(b"\0\0\0\0", b"\0\0\0\0"), tear.changes(b"abcd", b"\0bce")) == (0, 2),
    )
    trace = tear.Trace()
    with trace.lock:
        trace.fill()
        full = trace.is_full()
        trace.take()
        room = not trace.is_full()
        trace.fill()
    trace.close()
    yield "vm: a full pipe has room for one line after one is taken", full and room


def main():
    failed = 0
    for checks in (scp03.self_test, depths, blocks, tpdus, others):
        for name, holds in checks():
            print(f"check: {name} {'ok' if holds else 'FAILED'}")
            failed += not holds
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
