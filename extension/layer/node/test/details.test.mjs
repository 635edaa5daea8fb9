// Loading a file of the function's packages costs little, unless an instrumentation changes the package.

import assert from "node:assert/strict";
import { Module, createRequire, isBuiltin } from "node:module";
import path from "node:path";
import { before, test } from "node:test";
import { Libraries } from "../telemetry.cjs";
import { opt, run, task } from "./local_lambda.mjs";

let load;

before(async () => {
  // Makes the packages.
  await run(task({ "index.js": "exports.handler = async () => 1;" }), [{}]);
  ({ load } = createRequire(import.meta.url)(path.join(opt(), "lambda-otlp/node-packages/bundle.cjs")));
});

const PACKAGES = ["a", "@s/b", "a/node_modules/c"];

/// Loads a file of each package. Returns the packages that an instrumentation of all gets, and those whose main file is looked for.
function loadPackages() {
  const files = PACKAGES.flatMap((name) => [
    [`node_modules/${name}/package.json`, JSON.stringify({ version: "1.0.0" })],
    [`node_modules/${name}/index.js`, 'require("./part");'],
    [`node_modules/${name}/part.js`, ""],
  ]);
  const folder = task({ ...Object.fromEntries(files), "index.js": PACKAGES.map((name) => `require("${name}");`).join("\n") });
  const { InstrumentationBase, InstrumentationNodeModuleDefinition } = load("@opentelemetry/instrumentation");
  const changed = new Set();
  class OfAll extends InstrumentationBase {
    init() {
      return ["a", "@s/b", "c"].map(
        (name) => new InstrumentationNodeModuleDefinition(name, ["*"], (exports) => (changed.add(name), exports)),
      );
    }
  }
  const instrumentation = new OfAll("all", "1.0.0", {});
  const found = new Set();
  const { _resolveFilename: original } = Module;
  Module._resolveFilename = function (name, _parent, _isMain, options) {
    if (options?.paths?.[0]?.startsWith(folder)) found.add(name);
    return original.apply(this, arguments);
  };
  try {
    createRequire(path.join(folder, "_"))("./index.js");
  } finally {
    Module._resolveFilename = original;
    instrumentation.disable();
  }
  return [[...changed], [...found]];
}

test("only the main files of packages that instrumentations change are looked for", () => {
  assert.deepEqual(loadPackages(), [
    ["a", "@s/b", "c"],
    ["a", "@s/b", "c"],
  ]);
  load.watch(["a", "@s/b"]);
  assert.deepEqual(loadPackages(), [
    ["a", "@s/b"],
    ["a", "@s/b"],
  ]);
});

test("the packages that instrumentations change are known", () => {
  let watched;
  const types = new Proxy({}, { get: () => class {} });
  new Libraries(Object.assign(() => types, { resolve: (name) => name, watch: (names) => (watched = names) }));
  const changed = ["aws-sdk", "http", "ioredis", "mongodb", "mysql2", "pg", "redis", "undici"].flatMap((library) => {
    const exported = Object.entries(load(`@opentelemetry/instrumentation-${library}`));
    const [, Instrumentation] = exported.find(([name]) => name.endsWith("Instrumentation"));
    return new Instrumentation({ enabled: false }).getModuleDefinitions().map(({ name }) => name);
  });
  const ofFunction = new Set(changed.filter((name) => !isBuiltin(name)));
  assert.deepEqual([...ofFunction].sort(), [...watched].sort());
});
