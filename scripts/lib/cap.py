#!/usr/bin/env python3
"""The CAP file: what a card loads of it, in bytes that are the same for everyone who converts the same applet.

    cap.py strip FROM TO     keep the components that a card loads, in a fixed order and with fixed dates
    cap.py show FILE         its components, their sizes, and the SHA-256 of the file
    cap.py check             the self-test

A converter puts more into the archive than a card takes: class files, a debug component, the tools' own manifests with
the date and the name of the JDK. Java Card 3.0.4 VM specification, chapter 6 (the components) and 4.1.1 (the archive).
"""

import hashlib
import io
import struct
import sys
import zipfile

# Tag of each component by its name in the archive (6.1), in the order in which an installer takes them (6.2).
TAGS = {
    "Header": 1,
    "Directory": 2,
    "Import": 4,
    "Applet": 3,
    "Class": 6,
    "Method": 7,
    "StaticField": 8,
    "Export": 10,
    "ConstantPool": 5,
    "RefLocation": 9,
    "Descriptor": 11,
}
ORDER = tuple(TAGS)
# A Java Card Classic CAP file must have these; without an applet it is a library, and may have exports.
NEEDED = (
    "Header",
    "Directory",
    "Import",
    "ConstantPool",
    "Class",
    "Method",
    "StaticField",
    "RefLocation",
    "Descriptor",
)
MAGIC = 0xDECAFFED
ENTRIES = 1024
SIZE = 1 << 20


class CapError(Exception):
    """This is no CAP file, or not one that a card could load."""


def components(archive):
    """The components of a CAP file, by name: the bytes, tag and size first. `archive` is its bytes, or a file."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive) if isinstance(archive, bytes) else archive) as opened:
            names = opened.namelist()
            if len(names) > ENTRIES:
                raise CapError(f"{len(names)} entries")
            folders = {name.rsplit("/javacard/", 1)[0] for name in names if name.endswith("/javacard/Header.cap")}
            if len(folders) != 1:
                raise CapError(f"it holds {len(folders)} packages, and should hold one")
            folder = folders.pop()
            found = {}
            for name in ORDER:
                member = f"{folder}/javacard/{name}.cap"
                if names.count(member) > 1:
                    raise CapError(f"{member} is there more than once")
                if member in names:
                    if opened.getinfo(member).file_size > SIZE:
                        raise CapError(f"{member} is too large")
                    found[name] = opened.read(member)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise CapError(f"this is no archive: {error}") from error
    for name, data in found.items():
        check(name, data)
    for name in NEEDED:
        if name not in found:
            raise CapError(f"there is no {name} component")
    return folder, found


def check(name, data):
    """The head of a component: its tag, and the size of what follows."""
    if len(data) < 3 or data[0] != TAGS[name]:
        raise CapError(f"the {name} component has another tag")
    if struct.unpack(">H", data[1:3])[0] != len(data) - 3:
        raise CapError(f"the {name} component has another size than it says")
    if name == "Header" and (len(data) < 10 or struct.unpack(">I", data[3:7])[0] != MAGIC):
        raise CapError("the Header component has another magic number")


def package(header):
    """What the Header component says: (format, package version, AID)."""
    return (
        f"{header[8]}.{header[7]}",
        f"{header[11]}.{header[10]}",
        header[13 : 13 + header[12]].hex().upper(),
    )


def strip(archive):
    """The same package with nothing but what a card loads: the bytes are a function of the components alone.

    Stored and not compressed, since what a compressor writes depends on its version.
    """
    folder, found = components(archive)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        for name in ORDER:
            if name in found:
                member = zipfile.ZipInfo(f"{folder}/javacard/{name}.cap", (1980, 1, 1, 0, 0, 0))
                member.create_system = 3
                member.external_attr = 0o100644 << 16
                made.writestr(member, found[name])
    return out.getvalue()


def show(archive):
    """Lines for people: the package, each component with its size, what a card loads, the SHA-256."""
    _, found = components(archive)
    form, version, aid = package(found["Header"])
    yield f"package {aid} {version}, CAP format {form}"
    for name in ORDER:
        if name in found:
            yield f"  {name:<13} {len(found[name]):6d} bytes"
    loaded = sum(len(data) for name, data in found.items() if name != "Descriptor")
    yield f"a card loads {loaded} bytes ({loaded + len(found['Descriptor'])} with the Descriptor component)"
    yield f"SHA-256 {hashlib.sha256(archive).hexdigest()}"


def sample(extra=(), date=(2026, 1, 2, 3, 4, 6), order=ORDER, skip=(), wrong=None):
    """A package made up for the self-test; no converter wrote it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in extra:
            made.writestr(zipfile.ZipInfo(name, date), data)
        for name in order:
            if name in skip:
                continue
            body = bytes([TAGS[name]]) * (20 + TAGS[name])
            if name == "Header":
                body = struct.pack(">IBBBBBB", MAGIC, 1, 2, 4, 2, 1, 5) + b"\xf0\1\2\3\4" + body
            data = bytes([TAGS[name]]) + struct.pack(">H", len(body)) + body
            if name == wrong:
                data = data[:-1]
            made.writestr(zipfile.ZipInfo(f"some/where/javacard/{name}.cap", date), data)
    return out.getvalue()


def refuses(archive):
    try:
        components(archive)
    except CapError:
        return True
    return False


def self_test():
    """Each line is one check: its name, and whether it holds."""
    extra = [
        ("META-INF/MANIFEST.MF", b"Java-Card-CAP-Creation-Time: today"),
        ("APPLET-INF/classes/some/where/A.class", b"\xca\xfe" * 4000),
        ("some/where/javacard/Debug.cap", b"\x0c" * 4000),
    ]
    full, other = sample(extra), sample(extra[:1], date=(2030, 1, 1, 0, 0, 0), order=tuple(reversed(ORDER)))
    bare = strip(full)
    with zipfile.ZipFile(io.BytesIO(bare)) as opened:
        names = [name.rsplit("/", 1)[1] for name in opened.namelist()]
    yield "cap: nothing but the components of a card is left", names == [f"{name}.cap" for name in ORDER]
    yield "cap: the components are the same bytes", components(bare) == components(full)
    yield "cap: neither dates nor the order nor other files change a byte", strip(other) == bare
    yield "cap: what is stripped stays as it is", strip(bare) == bare
    library = sample(skip=("Applet",))
    yield "cap: a library has no Applet component", "Applet" not in components(strip(library))[1]
    yield "cap: one byte more of a component is another file", strip(sample(skip=("Export",))) != bare
    shown = list(show(bare))
    yield (
        "cap: the package and the SHA-256 are shown",
        (
            shown[0].startswith("package F001020304 1.2")
            and shown[-1] == f"SHA-256 {hashlib.sha256(bare).hexdigest()}"
        ),
    )
    yield "cap: a missing component is refused", all(refuses(sample(skip=(name,))) for name in NEEDED)
    yield "cap: a component cut short is refused", all(refuses(sample(wrong=name)) for name in ORDER)
    twice = sample([("else/where/javacard/Header.cap", b"\1")])
    yield "cap: two packages in one file are refused", refuses(twice)
    yield "cap: no archive is refused", refuses(b"PK\3\4 and so on") and refuses(b"")


def main(argv):
    if argv[1:] == ["check"]:
        failed = 0
        for name, holds in self_test():
            print(f"check: {name} {'ok' if holds else 'FAILED'}")
            failed += not holds
        return failed > 0
    if len(argv) == 4 and argv[1] == "strip":
        with open(argv[2], "rb") as file:
            made = strip(file.read())
        with open(argv[3], "wb") as file:
            file.write(made)
        return 0
    if len(argv) == 3 and argv[1] == "show":
        with open(argv[2], "rb") as file:
            print("\n".join(show(file.read())))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except (CapError, OSError) as failed:
        print(f"error: {failed}", file=sys.stderr)
        sys.exit(1)
