// The layer finds the handler where AWS's runtime client finds it.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packages, run, task } from "./local_lambda.mjs";

const HANDLER = 'exports.handler = async () => "found";';
const MODULE = 'export const handler = async () => "found";';
const OTHER = 'exports.handler = async () => "another file";';

// Files, the handler, and whether version 4 of the client finds it too.
const CASES = {
  "a file": [{ "index.js": HANDLER }, "index.handler", true],
  "a file in a folder": [{ "src/app.js": HANDLER }, "src/app.handler", true],
  "a module": [{ "app.mjs": MODULE, "app.cjs": OTHER }, "app.handler", true],
  "a module by its package": [{ "app.js": MODULE, "package.json": '{"type": "module"}' }, "app.handler", true],
  "a file by its ending": [{ "app.cjs": HANDLER, "package.json": '{"type": "module"}' }, "app.handler", true],
  "a name with dots": [{ "app.js": "exports.routes = { get: async () => 'found' };" }, "app.routes.get", true],
  "an object made at run time": [
    { "app.js": "module.exports = Object.fromEntries([['handler', async () => 'found']]);" },
    "app.handler",
    true,
  ],
  "a name of an imported module": [
    { "app.mjs": 'export * as routes from "./routes.mjs";', "routes.mjs": "export const get = async () => 'found';" },
    "app.routes.get",
    true,
  ],
  "a name in a frozen object": [
    { "app.js": "exports.routes = Object.freeze({ get: async () => 'found' });" },
    "app.routes.get",
    true,
  ],
  "the index of a folder": [
    { "api/index.js": 'exports.handler = require("./route").route;', "api/route.js": "exports.route = async () => 'found';" },
    "api.handler",
    false,
  ],
  "the index of a folder in a folder": [{ "src/api/index.js": HANDLER }, "src/api.handler", false],
  "the main file of a folder": [
    { "api/package.json": '{"main": "lib/main.js"}', "api/lib/main.js": HANDLER },
    "api.handler",
    false,
  ],
  "a file and a folder of the same name": [{ "api.js": HANDLER, "api/index.js": OTHER }, "api.handler", false],
  "a package": [
    { "node_modules/shop/package.json": '{"main": "main.js"}', "node_modules/shop/main.js": HANDLER },
    "shop.handler",
    true,
  ],
  "a package of a folder": [{ "src/node_modules/shop/index.js": HANDLER }, "src/shop.handler", true],
};

// Version 4 of the client, with the module that `lambda-otlp dev` uses for version 3 in place of its native one.
const VERSION_4 = packages(["aws-lambda-ric@4.0.2"], (folder) =>
  fs.mkdirSync(path.join(folder, "aws-lambda-ric/rapid-client.node")),
);
const NATIVE = path.join(VERSION_4, "aws-lambda-ric/rapid-client.node");
fs.copyFileSync(new URL("../../../../crates/cli/src/dev/rapid_client.cjs", import.meta.url), path.join(NATIVE, "index.js"));
fs.writeFileSync(path.join(NATIVE, "package.json"), '{"type": "commonjs"}');

for (const [name, [files, handler, isOfVersion4]] of Object.entries(CASES)) {
  test(`${name} is instrumented`, async () => {
    const folder = task(files);
    const commands = isOfVersion4 ? [[], [process.execPath, path.join(VERSION_4, "aws-lambda-ric/index.mjs")]] : [[]];
    for (const command of commands) {
      const ran = await run(folder, [{}], { handler, command });
      assert.deepEqual(ran.results, ["found"], ran.text);
      assert.deepEqual(
        ran.kind("SERVER").map((span) => span.scope),
        ["lambda-otlp/handler"],
        ran.text,
      );
    }
  });
}

// Files, the handler, the runtime's error, and the layer's line.
const MISTAKES = {
  "another export": [
    { "index.js": HANDLER },
    "index.handle",
    "Runtime.HandlerNotFound: index.handle is undefined or not exported",
    "index.js exports no function handle; its exports are handler: correct the handler index.handle, or export the function",
  ],
  "another export of a module": [
    { "index.mjs": MODULE },
    "index.handle",
    "Runtime.HandlerNotFound: index.handle is undefined or not exported",
    "index.mjs exports no function handle; its exports are handler: correct the handler index.handle, or export the function",
  ],
  "no export": [
    { "index.js": "const handler = async () => {};" },
    "index.handler",
    "Runtime.HandlerNotFound: index.handler is undefined or not exported",
    "index.js exports no function handler: correct the handler index.handler, or export the function",
  ],
  "another value": [
    { "index.js": "exports.handler = {};" },
    "index.handler",
    "Runtime.HandlerNotFound: index.handler is not a function",
    "index.js exports no function handler; its exports are handler: correct the handler index.handler, or export the function",
  ],
  "another file": [
    { "src/main.ts": "", "src/main.js": HANDLER, "src/data.json": "" },
    "src/index.handler",
    "Runtime.ImportModuleError: Error: Cannot find module 'index'",
    "TASK/src has no file index.js, index.mjs or index.cjs, but main.js, main.ts: correct the handler src/index.handler, or add the file",
  ],
  "no function": [
    { "index.js": HANDLER },
    "index",
    "Runtime.MalformedHandlerName: Bad handler",
    "the handler index names no function: set it to FILE.FUNCTION, such as index.handler",
  ],
};

for (const [name, [files, handler, error, reason]] of Object.entries(MISTAKES)) {
  test(`a handler with ${name} fails with the runtime's error`, async () => {
    const folder = task(files);
    for (const command of [[], [process.execPath, path.join(VERSION_4, "aws-lambda-ric/index.mjs")]]) {
      const ran = await run(folder, [{}], { handler, command });
      assert.ok(ran.results[0].startsWith(`failed in Init: ${error}`), ran.results[0]);
      // Lambda starts the runtime again for the invocation.
      const said = ran.lines.filter((line) => line.startsWith("lambda-otlp-handler: "));
      assert.deepEqual(
        [...new Set(said)],
        [`lambda-otlp-handler: not instrumented: ${reason.replace("TASK", fs.realpathSync(folder))}`],
        ran.text,
      );
    }
  });
}

test("a promise of exports is left alone", async () => {
  const ran = await run(task({ "index.js": 'module.exports = import("./app.mjs");', "app.mjs": MODULE }), [{}]);
  assert.deepEqual(ran.results, ["found"]);
  assert.match(ran.text, /not instrumented: index\.js exports a promise: export the handler itself/);
});

test("dev prints why a module cannot load", async () => {
  for (const wrapper of [true, false]) {
    const ran = await run(task({ "index.js": 'require("missing-library");' }), [{}], { wrapper });
    assert.match(ran.results[0], /ImportModuleError/);
    assert.match(ran.text, /Cannot find module 'missing-library'/);
  }
});

test("dev has the runtime's functions for streamed responses", async () => {
  const text = `exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
    stream.write("streamed");
    stream.end();
  });`;
  const ran = await run(task({ "index.js": text }), [{}]);
  assert.match(ran.results[0], /streamed/);
  assert.equal(ran.kind("SERVER")[0].attributes["http.response.status_code"], 201, ran.text);
});

// Ways to replace the clock, each undone at the end.
const CLOCKS = {
  timekeeper: ["const keeper = require('timekeeper'); keeper.freeze(new Date(0));", "keeper.reset();"],
  "a class": ["const own = Date; globalThis.Date = class extends own { static now() { return -5; } };", "globalThis.Date = own;"],
  "Date.now": ["const { now } = Date; Date.now = () => NaN;", "Date.now = now;"],
  "fake timers": [
    "const clock = require('@sinonjs/fake-timers').install({ now: 0, toFake: ['Date', 'hrtime', 'performance', 'setTimeout', 'setInterval', 'setImmediate'] });",
    "clock.uninstall();",
  ],
};

test("spans have the time of the clock from before the function's code", async (context) => {
  const modules = packages(["timekeeper@2.3.1", "@sinonjs/fake-timers@15.0.0"]);
  for (const [name, [replace, restore]] of Object.entries(CLOCKS)) {
    await context.test(name, async () => {
      const text = `exports.handler = async () => { ${replace} try { return (await fetch("http://" + process.env.AWS_LAMBDA_RUNTIME_API)).status; } finally { ${name === "Date.now" ? "setTimeout(() => {" + restore + "}, 100)" : restore} } };`;
      const before = Date.now();
      const ran = await run(task({ "index.js": text }, modules), [{}]);
      for (const kind of ["SERVER", "CLIENT"]) {
        const [span, ...others] = ran.kind(kind);
        assert.deepEqual(others, [], ran.text);
        for (const time of [span.startTimeUnixNano, span.endTimeUnixNano])
          assert.ok(Number(time) / 1e6 >= before && Number(time) / 1e6 <= Date.now(), `${time}`);
      }
    });
  }
});
