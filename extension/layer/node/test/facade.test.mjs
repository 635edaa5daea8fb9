// The runtime gets the replaced handler of an ES module. Other modules see its exports, including later assignments.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { replaceExport } from "../facade.cjs";
import { run, task } from "./local_lambda.mjs";

const MODULES = {
  "shop.mjs": `import { client, connect } from "./client.mjs"; import { read } from "./table.mjs"; export let table;
    export async function handler() { await connect(); table = "orders"; return client + ", seen in a circle: " + read(); }`,
  "client.mjs": `export let client; export async function connect() { client ??= "connected"; }`,
  "table.mjs": `import { table } from "./shop.mjs"; export const read = () => table;`,
};

test("an ES module sees exports that are assigned later", async () => {
  const file = path.join(task(MODULES), "shop.mjs");
  replaceExport({ file, name: "handler" }, ({ handler }) => ({ handler: async () => `replaced ${await handler()}` }));
  const { handler } = await import(pathToFileURL(file));
  assert.equal(await handler(), "replaced connected, seen in a circle: orders");
});

// A function that resolves its modules itself, and returns what it was asked for.
const RESOLVING = `import Module from "node:module";
const asked = [];
const { _resolveFilename: resolve } = Module;
Module._resolveFilename = function (name, ...others) { asked.push(name); return resolve.call(this, name, ...others); };
export const handler = async () => asked.filter((name) => name.includes("lambda-otlp"));`;

test("the function's own resolver sees no module of the layer", async () => {
  const ran = await run(task({ "index.mjs": RESOLVING }), [{}]);
  assert.deepEqual(ran.results, [[]], ran.text);
  assert.equal(ran.kind("SERVER").length, 1);
});
