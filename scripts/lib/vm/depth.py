"""How deep the Java stack can get: from the converter's JCA listing, the worst chain of calls, in words of 16 bits.

It counts what the applet's own methods need, arguments, locals and operands, and nothing of the platform's: no card
says what a frame costs beside. With the listing of rollcall.soft too, what P-256 in software adds can be seen.
"""

import re


class Method:
    def __init__(self, arguments, static):
        self.own = self.arguments = len(re.findall(r"\[*(?:L[^;]+;|[BSZI])", arguments)) + (not static)
        self.calls = []


def methods(text):
    """Every method of the listing by (class, name, arguments)."""
    found, kind, method = {}, None, None
    for line in text.splitlines():
        if named := re.match(r"\t\.class\s+(.*?)(?:extends|\{)", line):
            kind = [
                word
                for word in named[1].split()
                if word not in ("public", "final", "abstract") and not word.isdigit()
            ][0]
        elif named := re.match(r"\s*\.method\s+(.*?)([\w<>$]+)\(([^)]*)\)\S+", line):
            method = found[kind, named[2], named[3]] = Method(named[3], "static" in named[1].split())
        elif method and (amount := re.match(r"\s*\.(?:stack|locals) (\d+)", line)):
            method.own += int(amount[1])
        elif method and (called := re.search(r"invoke\w+.*//\s*(\S+)\(([^)]*)\)", line)):
            method.calls.append((called[1], called[2]))
    return found


# The classes of javacard.security that rollcall.soft replaces with its own.
STANDS_FOR = {
    "javacard/security/Signature": "SoftEcdsa",
    "javacard/security/KeyAgreement": "SoftAgreement",
    "javacard/security/RandomData": "SoftRandom",
    "javacard/security/ECPrivateKey": "SoftKey",
    "javacard/security/ECPublicKey": "SoftKey",
    "javacard/security/ECKey": "SoftKey",
}


def resolve(found, name, arguments):
    """The methods that a call may reach: all of that name and form, where the listing names no class."""
    if "." in name:
        kind, name = name.rsplit(".", 1)
        if not kind.startswith("rollcall/") and kind not in STANDS_FOR:
            return []
        return [key for key in found if key == (STANDS_FOR.get(kind) or kind.rsplit("/", 1)[-1], name, arguments)]
    return [key for key in found if key[1:] == (name, arguments)]


def deepest(found, key, known, above=()):
    """(words, chain of methods) below and with this method; the arguments lie on the caller's operand stack."""
    # The applet does not recurse (a card has no stack for it); a name shared by several classes can look like
    # recursion.
    if key in above:
        return 0, ()
    if key not in known:
        best = (0, ())
        for name, arguments in found[key].calls:
            for callee in resolve(found, name, arguments):
                words, chain = deepest(found, callee, known, (*above, key))
                best = max(best, (words - found[callee].arguments, chain))
        known[key] = (found[key].own + best[0], (f"{key[0]}.{key[1]}", *best[1]))
    return known[key]


def entries(text, soft=""):
    """For each of install, process, select and deselect: (name, words, chain of methods)."""
    found, known = {**methods(soft), **methods(text)}, {}
    for key in found:
        if key[0] == "RollcallApplet" and key[1] in ("install", "process", "select", "deselect"):
            yield (key[1], *deepest(found, key, known))
