// A lookup with the TypeScript client: lookup.js PKI URL TOKEN [TOKEN that nobody has].

import { readFileSync } from "node:fs";
import { Agent, fetch as fetchWith } from "undici";
import { Configuration, type Problem, ResponseError, TapsApi } from "./gen";

const [pki, basePath, token, nobody] = process.argv.slice(2);
const read = (name: string) => readFileSync(`${pki}/${name}`);
const connect = { ca: read("ca.crt"), cert: read("terminal-tls.crt"), key: read("terminal-tls.key") };
const dispatcher = new Agent({ connect });
const fetchApi = ((url: string, init: object) => fetchWith(url, { ...init, dispatcher })) as unknown as typeof fetch;
const taps = new TapsApi(new Configuration({ basePath, fetchApi }));

async function main() {
    const found = await taps.postLookups({ lookupRequest: { tokenId: token, nonces: 1 } });
    let refused = "nothing";
    try {
        await taps.postLookups({ lookupRequest: { tokenId: nobody } });
    } catch (error) {
        if (!(error instanceof ResponseError)) throw error;
        refused = ((await error.response.json()) as Problem).code;
    }
    console.log(found.status, found.user?.name, found.nonces?.length, refused);
}

main().then(() => process.exit(0));
