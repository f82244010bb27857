#!/usr/bin/env bash
# NDEF readers: a record that arrives in chunks (NDEF 1.0, 2.3.3: flag CF, then TNF 6 "unchanged").
#
# Versions:  PyPI ndeflib 0.3.3, npm ndef 0.2.0
# Guess:     a Text record in three chunks reads as one Text record, or is refused; nobody makes several records of it.
# Seen:      both make three records of it, without an error, also with errors='strict': a Text record that ends after the
#            first chunk (an empty text here), and two of the type "unchanged", which no application asks for.
# So:        what a tag says in chunks arrives cut short; look at the flag CF (20) of the first byte yourself.
#
# Exit status: 0 as seen, 1 something else was seen, 2 it could not run.
set -uo pipefail
cannot() { printf 'cannot run: %s\n' "$1" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
cd -- "$work" || exit 2
{ python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --only-binary :all: ndeflib==0.3.3; } >/dev/null 2>&1 ||
    cannot "ndeflib 0.3.3 cannot be installed (pip)"
{ npm init -y && npm install --ignore-scripts ndef@0.2.0; } >/dev/null 2>&1 || cannot "ndef 0.2.0 cannot be installed (npm)"

# The text "ABC" in English: whole, and as 02656E, 4142, 43.
whole=D101065402656e414243
chunks=B101035402656e360002414256000143
seen=$(
    venv/bin/python - "$whole" "$chunks" <<'PY'
import sys, ndef
for name, message in zip(("whole", "chunks"), sys.argv[1:]):
    records = ndef.message_decoder(bytes.fromhex(message), errors="strict")
    print("ndeflib", name, *[f"{record.type}={getattr(record, 'text', record.data.hex())!r}" for record in records])
PY
    # shellcheck disable=SC2016  # JavaScript's
    node -e '
const ndef = require("ndef");
for (const [name, message] of [["whole", process.argv[1]], ["chunks", process.argv[2]]]) {
    const records = ndef.decodeMessage([...Buffer.from(message, "hex")]);
    console.log("ndef", name, ...records.map((r) => `${r.tnf}:${r.type}=${r.value}`));
}' "$whole" "$chunks"
) || cannot "python or node"
printf '%s\n' "$seen"
expected="ndeflib whole urn:nfc:wkt:T='ABC'
ndeflib chunks urn:nfc:wkt:T='' unchanged='4142' unchanged='43'
ndef whole 1:T=ABC
ndef chunks 1:T= 6:=undefined 6:=undefined"
[[ $seen == "$expected" ]] || { echo "changed: expected"; printf '%s\n' "$expected"; exit 1; }
