"""Makes what the reference implementation loads: the applet with P-256 in software, converted and verified."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess

from machine import cap
from wine import Missing

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
PACKAGE_AID = "0xF0:0x52:0x4F:0x4C:0x4C:0x43:0x41:0x4C:0x4C"
SOFT_AID = "0xF0:0x52:0x4F:0x4C:0x4C:0x53:0x4F:0x46:0x54"
# The factories of javacard.security that are replaced by those of rollcall.soft.Platform.
FACTORIES = {
    "MessageDigest.getInstance(": "messageDigest(",
    "RandomData.getInstance(": "randomData(",
    "Signature.getInstance(": "signature(",
    "KeyAgreement.getInstance(": "keyAgreement(",
    "KeyBuilder.buildKey(": "buildKey(",
}


class BuildError(Exception):
    """A tool refused, or warned."""


class Kit:
    """A Java Card development kit with the reference implementation."""

    def __init__(self, home):
        if not home:
            raise Missing("JC_HOME is not set", HINT)
        self.home = os.path.abspath(home)
        for needed in (
            "lib/tools.jar",
            "lib/api_classic.jar",
            "api_export_files",
            "bin/cref_t1.exe",
            "bin/cref_t0.exe",
        ):
            if not os.path.exists(os.path.join(self.home, needed)):
                raise Missing(f"there is no {needed} in {self.home}", HINT)
        self.exports = os.path.join(self.home, "api_export_files")

    def java(self, main, *args, allow=""):
        """Runs one of the kit's tools; a warning is a failure, but for a line that is `allow`."""
        argv = ["java", "-Djc.home=" + self.home, "-cp", os.path.join(self.home, "lib/*"), main, *args]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        said = done.stdout.decode(errors="replace")
        bad = [line for line in said.splitlines() if WARNING.match(line) and line != allow]
        if done.returncode != 0 or bad:
            raise BuildError(f"{main.rsplit('.', 2)[-2]}: status {done.returncode}\n{said}")
        return said


HINT = (
    "the reference implementation is Oracle's: download the Java Card Classic Development Kit 3.0.5u4 from "
    "https://www.oracle.com/java/technologies/javacard-downloads.html, unpack it, and set JC_HOME to its folder"
)


# How the converter and the verifier start a warning or error line.
WARNING = re.compile(r"(?i)\W*(warning|error)\b")
INT = "warning: This package requires int support."


def run(*argv):
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"{argv[0]}: status {done.returncode}\n{done.stdout.decode(errors='replace')}")


def javac(kit, out, folders):
    """Class files of Java 7, which is what the converters read."""
    sources = [os.path.join(at, name) for folder in folders for at, _, names in os.walk(folder) for name in names]
    os.makedirs(out)
    # Suppresses JDK 17's warning that support for Java 7 will be removed.
    run(
        "javac",
        "-nowarn",
        "-g",
        "-source",
        "7",
        "-target",
        "7",
        "-encoding",
        "UTF-8",
        "-Xlint:-options",
        "-cp",
        os.path.join(kit.home, "lib/api_classic.jar"),
        "-d",
        out,
        *sorted(sources),
    )


def variant(applet, out, transient):
    """The applet's sources, every factory of javacard.security taken from rollcall.soft, and those of the latter."""
    shutil.copytree(os.path.join(ROOT, "applet/src/vm/java"), out)
    with open(os.path.join(out, "rollcall/soft/Shape.java"), "w", encoding="utf-8") as file:
        file.write(
            "package rollcall.soft;\n\n/** What this card has. */\nfinal class Shape {\n\n"
            "    private Shape() {\n    }\n\n"
            "    /** EC private keys in RAM, as the J3R180 has and the J3H145 has not. */\n"
            f"    static final boolean TRANSIENT_EC = {'true' if transient else 'false'};\n}}\n"
        )
    from_folder = os.path.join(applet, "src/main/java/rollcall/applet")
    to_folder = os.path.join(out, "rollcall/applet")
    os.makedirs(to_folder)
    seen = dict.fromkeys(FACTORIES, 0)
    for name in os.listdir(from_folder):
        with open(os.path.join(from_folder, name), encoding="utf-8") as file:
            text = file.read()
        for call, ours in FACTORIES.items():
            seen[call] += text.count(call)
            text = text.replace(call, "rollcall.soft.Platform." + ours)
        with open(os.path.join(to_folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    for call, times in seen.items():
        if times == 0:
            raise BuildError(f"the applet does not call {call}…): the variant would not be what it says")
    return sum(seen.values())


def digest(kit, *folders):
    """Of all that goes into a variant."""
    total = hashlib.sha256(kit.home.encode())
    for folder in folders:
        for at, _, names in sorted(os.walk(folder)):
            for name in sorted(names):
                with open(os.path.join(at, name), "rb") as file:
                    total.update(f"{name} {os.path.getsize(file.name)} ".encode() + file.read())
    return total.hexdigest()


def make(kit, applet, folder, transient):
    """Converts, strips and verifies, unless that was done. Two runs at once do it once.

    Returns the paths of CAP files and listings, how many calls were replaced, and whether it was done just now.
    """
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    note = os.path.join(folder, "made.json")
    stamp = digest(kit, os.path.join(applet, "src/main"), os.path.join(ROOT, "applet/src/vm"))
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(note):
            with open(note, encoding="utf-8") as file:
                made = json.load(file)
            if made["stamp"] == stamp:
                return {**made, "now": False}
        made = {**convert(kit, applet, folder, transient), "stamp": stamp}
        with open(note, "w", encoding="utf-8") as file:
            json.dump(made, file)
        return {**made, "now": True}


def convert(kit, applet, folder, transient):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    sources, classes, out = (os.path.join(folder, name) for name in ("sources", "classes", "cap"))
    calls = variant(applet, sources, transient)
    javac(kit, classes, [sources])
    exports = kit.exports
    converter, verifier = "com.sun.javacard.converter.Main", "com.sun.javacard.offcardverifier.Verifier"
    soft = os.path.join(out, "rollcall/soft/javacard")
    kit.java(
        converter,
        "-classdir",
        classes,
        "-exportpath",
        exports,
        "-nobanner",
        "-i",
        "-out",
        "CAP",
        "EXP",
        "JCA",
        "-d",
        out,
        "rollcall.soft",
        SOFT_AID,
        "1.0",
        allow=INT,
    )
    kit.java(
        converter,
        "-classdir",
        classes,
        "-exportpath",
        exports + os.pathsep + out,
        "-nobanner",
        "-out",
        "CAP",
        "EXP",
        "JCA",
        "-d",
        out,
        "-applet",
        PACKAGE_AID + ":0x01",
        "rollcall.applet.RollcallApplet",
        "rollcall.applet",
        PACKAGE_AID,
        "1.0",
    )
    made = os.path.join(out, "rollcall/applet/javacard")
    library, package, jca = (
        os.path.join(at, name) for at, name in ((soft, "soft.cap"), (made, "applet.cap"), (made, "applet.jca"))
    )
    for path in (library, package):
        with open(path, "rb") as file:
            bare = cap.strip(file.read())
        with open(path, "wb") as file:
            file.write(bare)
    files = [*export_files(exports), os.path.join(soft, "soft.exp")]
    kit.java(verifier, "-nobanner", *files, library)
    kit.java(verifier, "-nobanner", *files, os.path.join(made, "applet.exp"), package)
    return {"library": library, "applet": package, "jca": jca, "soft": os.path.join(soft, "soft.jca"), "calls": calls}


def export_files(folder):
    """The verifier wants each export file by its name."""
    return sorted(
        os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if name.endswith(".exp")
    )
