"""The T=0 interface of scripts/lab-usb, tested without a guest: one line for each check."""

import sys

from card import T0


class Script:
    """A card that answers what it is given, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = [bytes.fromhex(answer) for answer in answers], []

    def __call__(self, apdu):
        self.asked.append(apdu.hex())
        return self.answers.pop(0)


def run(le, answers, *tpdus):
    """What the card was asked, and what came back to each TPDU."""
    card = Script(*answers)
    interface = T0(card, le)
    return card.asked, [interface.exchange(bytes.fromhex(tpdu)).hex() for tpdu in tpdus]


LONG = "aa" * 256
CASES = (
    ("case 1", "ignore", ["9000"], ["00200081"], ["00200081"], ["9000"]),
    ("case 2 with the right Le", "ignore", ["aabb9000"], ["00b0000002"], ["00b0000002"], ["aabb9000"]),
    (
        "case 2 with too much Le is corrected, and not asked again",
        "ignore",
        ["aabb9000"],
        ["00b0000000", "00b0000002"],
        ["00b0000000"],
        ["6c02", "aabb9000"],
    ),
    ("256 bytes at once", "ignore", [LONG + "9000"], ["00b0000000"], ["00b0000000"], [LONG + "9000"]),
    (
        "an answer to data is fetched",
        "ignore",
        ["aabbcc9000"],
        ["00a4040002a000", "00c0000002", "00c0000001"],
        ["00a4040002a000"],
        ["6103", "aabb6101", "cc9000"],
    ),
    ("an Le behind data is ignored", "ignore", ["aa9000"], ["00a4040001a000"], ["00a4040001a0"], ["6101"]),
    ("an Le behind data is refused", "refuse", [], ["00a4040001a000"], [], ["6700"]),
    ("an Le behind data is taken", "take", ["aa9000"], ["00a4040001a000"], ["00a4040001a000"], ["aa9000"]),
    ("no extended length", "take", [], ["00a4040000000102"], [], ["6700"]),
    (
        "more than 256 bytes: the card's own 61xx comes at the end of its first piece",
        "ignore",
        [LONG + "6104", "010203049000"],
        ["00a4040001a0", "00c0000000", "00c0000004"],
        ["00a4040001a0", "00c0000004"],
        ["6100", LONG + "6104", "010203049000"],
    ),
)


def main():
    failed = 0
    for name, le, answers, tpdus, asked, said in CASES:
        got = run(le, answers, *tpdus)
        good = got == (asked, said)
        failed += not good
        print(f"check: usb: {name} {'ok' if good else f'FAILED: {got}'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
