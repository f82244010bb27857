// Compiles every schema of a folder under Ajv, strict: node ajv.mjs FOLDER
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import addFormats from "ajv-formats";
import Ajv from "ajv/dist/2020.js";

const [, , folder] = process.argv;
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
let refused = 0;
for (const name of files) {
    try {
        addFormats.default(new Ajv.default({ strict: true })).compile(JSON.parse(readFileSync(join(folder, name))));
    } catch (error) {
        refused += 1;
        console.error(`${name}: ${error.message}`);
    }
}
console.log(`${files.length - refused} of ${files.length} schemas compile`);
process.exit(refused === 0 && files.length > 0 ? 0 : 1);
