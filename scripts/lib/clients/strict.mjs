// Whether the CBOR of a presence proof is deterministic in every part, as `cbor2` judges in both of its strict modes: reads
// `rollcall scan --proof -o json` from stdin, prints the use counter.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { decode } from "cbor2";

const [scan] = JSON.parse(readFileSync(0, "utf8"));
const cose = Buffer.from(scan.proof.cose, "base64url");
for (const strict of [{ cde: true }, { dcbor: true }]) {
    const [header, , payload] = decode(cose, strict).contents;
    decode(header, strict);
    console.log(decode(payload, strict).get(-70002));
    // -70002: 6, in four bytes.
    assert.throws(() => decode(Buffer.from("a13a000111711a00000006", "hex"), strict), /long integer/);
}
