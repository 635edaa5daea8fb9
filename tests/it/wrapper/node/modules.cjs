// Imports a handler's module as Lambda's runtime does, with a replaced handler, and prints the handler's result.
// The first argument is the folder of facade.cjs, the second is an empty folder for the function.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");

const [, , folder, task] = process.argv;
const { replaceExport } = require(`${folder}/facade.cjs`);

const MODULES = {
  "shop.mjs": `import { client, connect } from "./client.mjs"; import { read } from "./table.mjs"; export let table;
    export async function handler() { await connect(); table = "orders"; return client + ", seen in a circle: " + read(); }`,
  "client.mjs": `export let client; export async function connect() { client ??= "connected"; }`,
  "table.mjs": `import { table } from "./shop.mjs"; export const read = () => table;`,
};
for (const [name, source] of Object.entries(MODULES)) fs.writeFileSync(path.join(task, name), source);

const file = fs.realpathSync(path.join(task, "shop.mjs"));
replaceExport({ file, name: "handler" }, ({ handler }) => ({ handler: async () => `replaced ${await handler()}` }));
import(pathToFileURL(file)).then(({ handler }) => handler()).then(console.log);
