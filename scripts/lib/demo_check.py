"""Claims about the NDJSON that rollcall prints, for scripts/demo: CLAIM [ARGUMENT…] with the lines on stdin.

Exit 0: the claim holds. Otherwise it says on stderr what was found instead.
"""

import json
import sys


def names_of(lines):
    return [(line.get("user") or {}).get("name") for line in lines]


def readers_with_cards(lines, count):
    found = [line["reader"] for line in lines if line["state"] == "present"]
    return len(found) == int(count), found


def names(lines):
    for line in lines:
        print(line["reader"])
    return True, None


def listed(lines, *people):
    found = names_of(lines)
    verified = all(line["authenticated"] is True for line in lines)
    return sorted(found) == sorted(people) and verified, lines


def present(lines, *people):
    here = [line for line in lines if line["state"] == "present"]
    ok, _ = listed(here, *people)
    return ok and len(here) == len(lines), lines


def proof(lines, person):
    scans = [line for line in lines if line["schema"] == "rollcall.scan/1"]
    found = names_of(scans)
    verified = all(line["proof"]["verified"] is True and line["proof"]["cose"] for line in scans)
    mutual = all(line["authenticated"]["token"] is True for line in scans)
    return found == [person] and verified and mutual, lines


def from_server(lines, person):
    scans = [line for line in lines if line["schema"] == "rollcall.scan/1"]
    said = all(line["source"] == "server" and line["authenticated"]["server"] == "authenticated" for line in scans)
    fresh = all(line["proof"]["nonce_source"] == "server" for line in scans)
    return names_of(scans) == [person] and said and fresh, lines


def tokens(lines):
    for line in lines:
        print(line["token_id"])
    return True, None


def left_and_returned(lines, person):
    events = [line["event"] for line in lines if (line.get("user") or {}).get("name") == person]
    # When watch started, it was unclear for a moment whether a card was still there.
    events = [event for event in events if event not in ("unconfirmed", "confirmed")]
    return events[-3:] == ["arrived", "left", "arrived"], events


CLAIMS = {
    "readers-with-cards": readers_with_cards,
    "names": names,
    "listed": listed,
    "present": present,
    "proof": proof,
    "from-server": from_server,
    "tokens": tokens,
    "left-and-returned": left_and_returned,
}


def main():
    claim, *arguments = sys.argv[1:]
    # Lines from stderr may be mixed in: an object starts with a brace.
    lines = [json.loads(line) for line in sys.stdin if line.startswith("{")]
    try:
        holds, found = CLAIMS[claim](lines, *arguments)
    except (KeyError, TypeError) as error:
        holds, found = False, f"{error!r} in {lines}"
    if not holds:
        print(f"{claim}: found {found}", file=sys.stderr)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
