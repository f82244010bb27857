"""The reader drivers: what of them stands in pcscd's configuration, and the readers behind them."""

import glob
import json
import os
import re
import shutil
import socket
import sys
import time

from process import Process

_HERE = os.path.dirname(os.path.abspath(__file__))
_SERIAL = ("/usr/lib/pcsc/drivers/serial/", "/usr/lib/*/pcsc/drivers/serial/", "/usr/local/lib/pcsc/drivers/serial/")
_BUNDLES = ("/usr/lib/pcsc/drivers/", "/usr/lib/*/pcsc/drivers/", "/usr/local/lib/pcsc/drivers/")
_INFO = "ifd-ccid.bundle/Contents/Info.plist"
# Driver options for "the Twin takes APDUs" (DRIVER_OPTION_GEMPC_TWIN_KEY_APDU) and "programs may send escapes"
# (DRIVER_OPTION_CCID_EXCHANGE_AUTHORIZED); at the other levels the driver has Debian's options, and they may not.
_APDUS_AND_ESCAPES = "0x0003"

# `ccid:LEVEL`: the settings of its readers, applied before those of the command line. The ATRs are those of contact
# cards: one offers T=0 only, the other T=1 only.
LEVELS = {
    "t0": ["atr=3B6800000073C84000009000"],
    "t1": ["atr=3BD518FF8191FE1FC38073C8211309"],
    "apdu": [],
}
_STARTS_WITHIN = 60.0
_NOTICES_WITHIN = 5.0


def make(options, folder, logs):
    name, _, level = options.driver.partition(":")
    if name == "vpcd":
        return Vpcd()
    return Ccid(level, options.setting, folder, logs)


def _find(folders, pattern, package):
    for found in (path for folder in folders for path in sorted(glob.glob(folder + pattern))):
        return found
    raise OSError(f"{package} is not installed: run scripts/setup readers")


class Vpcd:
    """vsmartcard's driver, which listens on TCP itself."""

    def __init__(self):
        self.library = _find(_SERIAL, "libifdvpcd.so*", "vpcd")

    def entries(self, home, ports):
        """One entry per pair of readers, each with a copy of the driver (it keeps static tables)."""
        text = ""
        for pair, port in enumerate(ports[::2], start=1):
            copy = shutil.copy(self.library, os.path.join(home, f"vpcd-{pair:02}.so"))
            text += (f'FRIENDLYNAME "Rollcall Virtual {pair:02}"\nDEVICENAME /dev/null:{port}\n'
                     f"LIBPATH {copy}\nCHANNELID {port}\n\n")
        return text

    def env(self):
        return {}

    def variables(self):
        return {}

    def start(self, ports, env):
        pass

    def await_absence(self, number):
        pass

    def tell(self, number, command):
        raise ValueError("only --driver ccid has readers that take commands")

    def end(self):
        pass


class Ccid:
    """Debian's CCID driver, unmodified, each reader an emulated one on a serial line."""

    def __init__(self, level, settings, folder, logs):
        self.settings = [*LEVELS.get(level, ()), *settings]
        self.folder = os.path.join(folder, "ccid")
        self.logs = logs
        self.library = _find(_SERIAL, "libccidtwin.so", "libccid")
        self.readers = []
        os.makedirs(os.path.join(self.folder, "ifd-ccid.bundle/Contents"), 0o755)
        os.chmod(self.folder, 0o755)
        with open(_find(_BUNDLES, _INFO, "libccid"), encoding="utf-8") as file:
            info = file.read()
        if level == "apdu":
            options = r"(<key>ifdDriverOptions</key>\s*<string>)[^<]*"
            info, changed = re.subn(options, rf"\g<1>{_APDUS_AND_ESCAPES}", info)
            if changed != 1:
                raise OSError(f"{_INFO} has no driver options")
        with open(os.path.join(self.folder, _INFO), "w", encoding="utf-8") as file:
            file.write(info)

    def _path(self, number, what):
        return os.path.join(self.folder, f"{number:02}.{what}")

    def start(self, ports, env):
        for number, port in enumerate(ports, start=1):
            argv = [sys.executable, "-E", "-s", "-S", os.path.join(_HERE, "ccid.py"), "--tty", self._path(number, "tty"),
                    "--card", str(port), "--control", self._path(number, "control"),
                    "--log", os.path.join(self.logs, f"reader-{number:02}.log"), *self.settings]
            log = os.path.join(self.logs, f"reader-{number:02}.err")
            self.readers.append(Process(argv, env, log=log))
        for number, reader in enumerate(self.readers, start=1):
            waited = 0.0
            # The reader creates the control socket last.
            while not os.path.exists(self._path(number, "control")):
                if reader.wait(0.01) is not None or (waited := waited + 0.01) > _STARTS_WITHIN:
                    raise OSError(f"reader {number} does not start\n{reader.log_tail()}")

    def entries(self, home, ports):
        return "".join(f'FRIENDLYNAME "Rollcall CCID {number:02}"\nDEVICENAME {self._path(number, "tty")}:GemPCTwin\n'
                       f"LIBPATH {self.library}\n\n" for number, _ in enumerate(ports, start=1))

    def env(self):
        return {"PCSCLITE_HP_DROPDIR": self.folder}

    def variables(self):
        controls = (self._path(number, "control") for number, _ in enumerate(self.readers, start=1))
        return {"READER_CONTROLS": " ".join(controls)}

    def await_absence(self, number):
        """Wait until the service has looked at the empty slot. After an exchange that failed it shows it so before it has
        looked itself, and then misses that a card comes back meanwhile; one look may be that of a client."""
        def absences():
            return json.loads(self.tell(number, "stats").removeprefix("ok"))["absences"]

        before, ends = absences(), time.monotonic() + _NOTICES_WITHIN
        while absences() < before + 2 and time.monotonic() < ends:
            time.sleep(0.02)

    def tell(self, number, command):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(5)
            link.connect(self._path(number, "control"))
            link.sendall(f"{command}\n".encode())
            return link.makefile(encoding="utf-8").readline().strip()

    def end(self):
        for number, reader in enumerate(self.readers, start=1):
            reader.end()
            for what in ("tty", "control"):
                try:
                    os.unlink(self._path(number, what))
                except FileNotFoundError:
                    pass
        self.readers = []
