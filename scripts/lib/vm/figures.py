"""What the applet needs of the machine: packages, installation, the first commands."""

import json
import os

import machine
import scp03

START = bytes.fromhex("404142434445464748494A4B4C4D4E4F") * 3
SELECT = bytes([0, 0xA4, 4, 0, len(machine.AID)]) + machine.AID + b"\0"
SET_STATUS, BLANK = 0xF0, 0x07


def package_sizes(images, cap):
    """Bytes of each component of the applet's package; the library is not part of any card."""
    found = cap.components(images.stripped[1])[1]
    return {name: len(data) for name, data in found.items()}


def measure(images):
    """(name, figures) of each phase of a card's first hours, each in a process of its own."""
    loaded = images.loaded()
    yield "both packages loaded", machine.figures(images.said(loaded))
    yield "instance created", machine.figures(images.said(images.blank(START)))
    card = machine.Card(images.wine, images.protocol, images.blank(START))
    try:
        for name, work in (
            ("first SELECT", lambda: None),
            ("second SELECT", lambda: None),
            ("RESET under SCP03", lambda: reset(card)),
            ("SELECT after it", lambda: None),
        ):
            card.used = {}
            answer = card.send(SELECT)
            if answer[-2:] != b"\x90\0":
                raise machine.Refused(f"{name}: {answer.hex()}")
            work()
            card.reset()
            yield name, card.used
    finally:
        card.close()


def reset(card):
    session = scp03.Session(card, (START[:16], START[16:32], START[32:]))
    session.send(SET_STATUS, 0x40, BLANK)


def used(logs):
    """Of logs of the bridge: (the most that any card used, the lines about machines that fell silent)."""
    most, mute = {}, []
    for path in logs:
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as log:
            for line in log:
                if " END " in line:
                    for name, value in json.loads(line.split(" END ", 1)[1]).items():
                        most[name] = max(value, most.get(name, 0))
                elif " MUTE " in line:
                    mute.append(line.strip()[:400])
    return most, mute
