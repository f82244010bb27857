"""Memory images of cards: loaded (both packages), and blank (with an instance that has these start keys)."""

import fcntl
import hashlib
import os

import machine
from machine import cap


def start_keys(path):
    """ENC, MAC and DEK of a file with three keys in hex, or with one that serves as all three."""
    with open(path, encoding="ascii") as file:
        digits = "".join(file.read().split())
    return bytes.fromhex(digits * 3 if len(digits) == 32 else digits)


class Images:
    """The images of one variant, kept in the folder `work` of the wine; a name is a digest of what is in it."""

    def __init__(self, wine, packages, protocol=1):
        """`packages`: the paths of the CAP files, under `library` and `applet`."""
        self.wine, self.protocol = wine, protocol
        self.stripped = []
        for name in ("library", "applet"):
            with open(packages[name], "rb") as file:
                self.stripped.append(cap.strip(file.read()))
        self.name = hashlib.sha256(b"".join(self.stripped)).hexdigest()[:12]

    def made(self, name, make):
        """The name of an image, made once whoever asks first."""
        with open(os.path.join(self.wine.work, "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(os.path.join(self.wine.work, name)):
                make(name + ".new")
                os.rename(os.path.join(self.wine.work, name + ".new"), os.path.join(self.wine.work, name))
        return name

    def loaded(self):
        def make(name):
            card = machine.Machine(self.wine, self.protocol, out=name)
            try:
                for package in self.stripped:
                    card.load(package)
                card.power_down()
            except BaseException:
                card.kill()
                raise

        return self.made(f"loaded-{self.name}-t{self.protocol}.eep", make)

    def blank(self, keys=b""):
        """`keys`: ENC, MAC and DEK, 48 bytes; without them the applet starts with its test keys."""
        loaded = self.loaded()

        def make(name):
            card = machine.Machine(self.wine, self.protocol, loaded, name)
            try:
                card.create(parameters=bytes([0, 0, len(keys)]) + keys if keys else b"")
                card.power_down()
            except BaseException:
                card.kill()
                raise

        return self.made(f"blank-{self.name}-t{self.protocol}-{hashlib.sha256(keys).hexdigest()[:8]}.eep", make)

    def said(self, image):
        """What the process that made the image said at its end."""
        with open(os.path.join(self.wine.work, image + ".new.log"), encoding="latin-1") as log:
            return log.read()
