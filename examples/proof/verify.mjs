// Verifies presence proofs without Rollcall: docs/proof.md. Reads `rollcall scan --proof -o json`, or ndjson, from stdin.
//
//     rollcall scan --proof -o json | node verify.mjs ca.crt [NONCE in hex]
//
// Exit status: 0 every proof holds, 1 one does not, 2 there is none. Freshness is the caller's to judge: give the nonce
// that you expect, and remember the last counter of each token.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { Sign1 } from "@auth0/cose";
import { decode } from "cbor2";

const IDENTITY = "1.3.6.1.4.1.32473.82.10";
const [, , caFile, nonce] = process.argv;
const ca = new X509Certificate(readFileSync(caFile));

/** The claims of a message that holds. Rejects when it does not. */
async function verify(message, der) {
    const tagged = decode(message);
    assert.equal(tagged.tag, 18, "no COSE_Sign1");
    const sign1 = Sign1.decode(message);
    assert.deepEqual([...decode(tagged.contents[0])], [[1, -7], [16, "application/x.rollcall-1"]], "another algorithm or type");

    const identity = new X509Certificate(der);
    assert(identity.checkIssued(ca) && identity.verify(ca.publicKey), "the certificate is not the CA's");
    const now = new Date();
    assert(new Date(identity.validFrom) <= now && now <= new Date(identity.validTo), "the certificate is not in time");
    assert.deepEqual(identity.keyUsage, [IDENTITY], "a certificate for another purpose"); // keyUsage: the extended one

    const claims = decode(sign1.payload);
    const id = Buffer.from(identity.subject.replace(/^CN=|-/g, ""), "hex");
    assert.equal(id.length, 16, "a certificate of no token");
    assert(Buffer.from(tagged.contents[1].get(4)).equals(id), "another token's certificate");
    assert(Buffer.from(claims.get(256)).equals(Buffer.concat([Buffer.from([1]), id])), "another token's certificate");

    await sign1.verify(identity.publicKey);
    assert(nonce === undefined || Buffer.from(claims.get(10)).toString("hex") === nonce.toLowerCase(), "another nonce");
    return claims;
}

const text = readFileSync(0, "utf8").trim();
const lines = text.split("\n").filter((line) => line.trim() !== "");
const objects = text.startsWith("[") ? JSON.parse(text) : lines.map((line) => JSON.parse(line));
const proofs = objects.map((one) => one.proof).filter((proof) => proof?.cose);
for (const proof of proofs) {
    try {
        const bytes = (name) => Buffer.from(proof[name], "base64url");
        const claims = await verify(bytes("cose"), bytes("identity_certificate"));
        const hex = (claim) => Buffer.from(claims.get(claim)).toString("hex");
        const token = hex(256).slice(2).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
        console.log(`token ${token}, counter ${claims.get(-70002)}, nonce ${hex(10)}: holds`);
    } catch (error) {
        console.error(`it does not hold: ${error.message}`);
        process.exit(1);
    }
}
process.exit(proofs.length > 0 ? 0 : 2);
