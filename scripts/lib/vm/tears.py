"""Tears in enrollment's own commands, at every number of bytes that a command changes: old or new, never between."""

import os
import shutil

import link
import machine
import scp03
import tear

START = bytes.fromhex("404142434445464748494A4B4C4D4E4F") * 3
SELECT = bytes([0, 0xA4, 4, 0, len(machine.AID)]) + machine.AID + b"\0"
PUT_KEY, PUT_DATA, SET_STATUS = 0xD8, 0xDA, 0xF0
BLANK, PERSONALISED = 0x07, 0x0F
FF = 0xFF
# A point for a CA key: G of P-256 (SEC 2, 2.4.2), which is on the curve.
POINT = bytes.fromhex(
    "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C2964FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB64068"
    "37BF51F5"
)


def three(key):
    return (key[:16], key[16:32], key[32:])


NEW = tuple(bytes([n]) * 16 for n in (0x11, 0x22, 0x33))


class Broken(Exception):
    """A token that is neither what it was nor what it was to become."""


def seen(card):
    """What a terminal sees from outside: (state, first bytes of the CA id, version of the SCP03 keys in force)."""
    answer = card.send(SELECT)
    if answer[-2:] != b"\x90\0":
        raise Broken(f"SELECT answers {answer.hex()}")
    data = answer[:-2]
    state, ca = data[data.index(b"\x81\x01") + 2], data[data.index(b"\x83\x08") + 2 :][:8]
    sessions = []
    for keys in (three(START), NEW):
        try:
            sessions.append(scp03.Session(card, keys).version)
        except scp03.Refused:
            sessions.append(None)
        card.send(SELECT)
    if sessions[0] is not None and sessions[1] is not None or sessions == [None, None]:
        raise Broken(f"sessions with start keys and new keys: {sessions}")
    return state, ca, next(version for version in sessions if version is not None)


def session(card):
    card.send(SELECT)
    try:
        return scp03.Session(card, three(START))
    except scp03.Refused:
        card.send(SELECT)
        return scp03.Session(card, NEW)


def put_ca(channel, kvn=3):
    del channel
    return PUT_KEY, 0x00, 0x10, bytes([kvn, 0xB0, 0x41]) + POINT + b"\xf0\1\0\0"


def put_scp03(channel):
    return PUT_KEY, 0x00, 0x81, channel.put_keys(NEW)


def record(_):
    return PUT_DATA, 0x01, 0x01, b"\xa2\1\x611\2\x63Ada"


def reset(_):
    return SET_STATUS, 0x40, BLANK, b""


# Name, preceding commands, and the command to tear; none for the first SELECT, which creates most objects.
CASES = (
    ("the first SELECT", (), None),
    ("PUT KEY of the SCP03 set", (), put_scp03),
    ("PUT KEY of a CA", (put_scp03,), put_ca),
    ("PUT DATA of a record", (put_scp03, put_ca), record),
    ("RESET of a personalised card", (put_scp03, put_ca, record), reset),
)


def template(images, before, name):
    """An image of a card on which these commands were carried out."""
    card = machine.Card(images.wine, images.protocol, images.blank(START), os.urandom(32))
    try:
        for make in before:
            channel = session(card)
            channel.send(*make(channel))
        card.off()
        shutil.copy(card.path, os.path.join(images.wine.work, name))
    finally:
        card.close()
    return name


def carried_out(card, make):
    """What is seen on this card, and what is seen when the command was carried out once more."""
    found = seen(card)
    channel = session(card)
    channel.send(*make(channel))
    return found, seen(card)


def after_a_tear(images, image, make):
    """The same on a card with this memory."""
    name = f"torn-{os.getpid()}.eep"
    with open(os.path.join(images.wine.work, name), "wb") as file:
        file.write(image)
    card = machine.Card(images.wine, images.protocol, name)
    try:
        return carried_out(card, make)
    except link.Mute as mute:
        raise Broken(f"{mute}; {card.machine.last_words() if card.machine else 'off'}") from mute
    finally:
        os.unlink(os.path.join(images.wine.work, name))
        if card.machine:
            card.close()


def run(images, case, most=400):
    """Tears the command at every state of the EEPROM that was seen. What was found: a line."""
    _, before, make = case
    first = template(images, before, f"tear-{images.name}-{os.getpid()}.eep")
    card = machine.Card(images.wine, images.protocol, first, traced=True)
    old, apdu = None, SELECT
    try:
        if make is not None:
            old = seen(card)
            channel = session(card)
            apdu = channel.command(*make(channel))
        found = [image for image, _ in tear.states(card, apdu)]
    finally:
        os.unlink(os.path.join(images.wine.work, first))
        if card.machine:
            card.close()
    changed = tear.changes(found[-1], found[0])
    # Tear at all points, or at as many as there is time for, including the first and the last.
    step = max(1, -(-len(found) // most))
    chosen = found[1:-1:step] + found[-1:]
    news, final = 0, None
    for number, image in enumerate(reversed(chosen)):
        where = f"state {len(chosen) - number} of {len(chosen)}"
        try:
            # PUT KEY tests what the first SELECT created.
            new, again = after_a_tear(images, image, make or put_scp03)
        except (link.Mute, scp03.Refused, machine.Refused, Broken) as error:
            raise Broken(f"{where}: {error}") from error
        final = final or (new, again if make is None else new)
        if new not in (old, final[0]) or again != final[1]:
            raise Broken(f"{where}: {old} became {new} and then {again}, not {final}")
        news += new == final[0]
    return (
        f"{len(chosen)} tears in {len(found) - 1} states of {changed} bytes: "
        f"{len(chosen) - news} old, {news} new, none between"
    )
