#!/usr/bin/env bash
# The list of answers to reset of pcsc-tools (smartcard_list.txt), read by the rules of ISO/IEC 7816-3, section 8.2.
#
# Versions:  pcsc-tools 1.6.2-1 (Debian 12)
# Guess:     of the answers without wildcards fewer than 1 in 200 has another length than its own bytes say, and fewer than 1
#            in 200 a wrong check byte TCK: they were read from cards.
# Seen:      92 of 3,803 (1 in 41): 42 end too early, 20 go on behind their end, 13 have a TCK where T=0 alone has none, 17
#            have a wrong one.
# So:        a program that knows cards by this list must look them up by their bytes before it checks the form, and must not
#            take the list as samples of valid answers.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
apt-get download -qq pcsc-tools=1.6.2-1 2>/dev/null || cannot "pcsc-tools 1.6.2-1 cannot be downloaded (apt-get)"
dpkg -x ./*.deb root || cannot "dpkg"
seen=$(python3 - root/usr/share/pcsc/smartcard_list.txt <<'PY'
import collections, functools, operator, re, sys

def verdict(atr):
    """What ISO/IEC 7816-3, 8.2 says of these bytes."""
    present, historical, at, protocols = atr[1] >> 4, atr[1] & 15, 2, set()
    while True:
        at += bin(present & 7).count("1")
        if not present & 8:
            break
        if at >= len(atr):
            return "too short"
        present, at = atr[at] >> 4, at + (protocols.add(atr[at] & 15) or 1)
    checked = bool(protocols - {0})
    end = at + historical + checked
    if len(atr) < end:
        return "too short"
    if len(atr) == end + 1 and not checked:
        return "TCK where none belongs"
    if len(atr) > end:
        return "too long"
    return "TCK wrong" if checked and functools.reduce(operator.xor, atr[1:]) else "whole"

with open(sys.argv[1], encoding="utf-8") as file:
    lines = [line.strip().replace(" ", "") for line in file]
fixed = [bytes.fromhex(line) for line in lines if re.fullmatch("(?:[0-9A-Fa-f]{2}){2,}", line)]
print("answers", len(fixed))
for name, count in sorted(collections.Counter(map(verdict, fixed)).items()):
    print(name, count)
PY
) || cannot "python3"
printf '%s\n' "$seen"
expected=$'answers 3803\nTCK where none belongs 13\nTCK wrong 17\ntoo long 20\ntoo short 42\nwhole 3711'
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
