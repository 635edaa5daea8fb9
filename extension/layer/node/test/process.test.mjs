// A function sees the same process with and without the layer, except for the differences listed here, each with its reason.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { run, target, task } from "./local_lambda.mjs";

// The function lists what its code finds in each registry of the process: while its module loads, and while its handler runs.
const SEEN = `
const asyncHooks = require("node:async_hooks"), channels = require("node:diagnostics_channel"), events = require("node:events"), fs = require("node:fs");
const http = require("node:http"), https = require("node:https"), os = require("node:os"), timers = require("node:timers"), util = require("node:util");
const { Module } = require("node:module");
// Variables that differ from run to run.
const OF_RUN = ["AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "FOUND", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_LAMBDA_RECEIVER_PORT", "_X_AMZN_TRACE_ID"];
const EVENTS = ["exit", "beforeExit", "uncaughtException", "uncaughtExceptionMonitor", "unhandledRejection", "rejectionHandled", "warning", "message",
  "disconnect", "worker", "newListener", "removeListener", "SIGTERM", "SIGINT"];
const CHANNELS = ["undici:request:create", "undici:request:headers", "undici:request:trailers", "undici:request:error", "undici:client:sendHeaders",
  "undici:request:bodySent", "http.client.request.start", "http.client.response.finish", "net.client.socket", "child_process", "worker_threads", "console.log"];
const HOLDERS = { process, globalThis, Module, "Module.prototype": Module.prototype, "Module._extensions": Module._extensions, Error, "Error.prototype": Error.prototype,
  Promise, "Promise.prototype": Promise.prototype, "Function.prototype": Function.prototype, "EventEmitter.prototype": events.prototype, console, fs, http, https, timers,
  asyncHooks, "AsyncResource.prototype": asyncHooks.AsyncResource.prototype, "AsyncLocalStorage.prototype": asyncHooks.AsyncLocalStorage.prototype,
  channels, os, util, "http.Agent.prototype": http.Agent.prototype, "http.globalAgent": http.globalAgent, "ClientRequest.prototype": http.ClientRequest.prototype };
const shape = ([holder, object]) => Reflect.ownKeys(object).map((key) => {
  const { value, get, enumerable } = Object.getOwnPropertyDescriptor(object, key) ?? {};
  return holder + "." + String(key) + (enumerable ? " enumerable " : " ") + (get ? "getter" : typeof value === "function" ? "function " + value.name + " " + value.length : typeof value);
});
const link = (name) => { try { return fs.readlinkSync("/proc/self/fd/" + name).replace(/:?\\[.*/, ""); } catch { return "closed"; } };
const counted = (number) => Array.from({ length: number }, (_, at) => at);
function seen() {
  return {
    "listeners": EVENTS.flatMap((event) => process.listeners(event).map((each) => event + " " + each.name)).concat(process.eventNames().map(String), process.getMaxListeners()),
    "properties": Object.entries(HOLDERS).flatMap(shape),
    "variables": Object.entries(process.env).filter(([name]) => !OF_RUN.includes(name)).map((pair) => pair.join("=")),
    "arguments": [...process.execArgv, "argv", ...process.argv, process.title],
    "modules": Object.keys(require.cache),
    "symbols": Object.getOwnPropertySymbols(globalThis).map(String),
    // Requests come and go with the runtime's own work.
    "handles": process.getActiveResourcesInfo().filter((each) => !each.includes("Req")).concat(process._getActiveHandles().map((each) => "handle " + each.constructor.name)),
    "stacks": [Error.stackTraceLimit, typeof Error.prepareStackTrace, ...new Error().stack.split("\\n").slice(1)],
    "descriptors": fs.readdirSync("/proc/self/fd").map(link),
    "threads of the system": counted(fs.readdirSync("/proc/self/task").length),
    "processes": [fs.readFileSync("/proc/self/task/" + process.pid + "/children", "utf8")],
    "channels": CHANNELS.filter((name) => channels.hasSubscribers(name)),
    "settings": [process.noDeprecation, process.throwDeprecation, process.traceDeprecation, process.sourceMapsEnabled, events.defaultMaxListeners, events.captureRejections,
      process.report?.reportOnFatalError, process.umask(), process.cwd(), process.stdout.eventNames().map(String).join(), process.exitCode],
    "handler": [util.types.isProxy(own().handler) || own().handler?.name + own().handler?.length + Object.keys(own().handler ?? []).join()],
  };
}
const LOADED = seen();
const answer = async (event) => {
  const found = { "while the module loads": LOADED, "while the handler runs": seen() };
  await (await fetch(process.env.TARGET)).text();
  await new Promise((resolve) => http.get(process.env.TARGET, (response) => response.resume().on("end", resolve)));
  fs.appendFileSync(process.env.FOUND, JSON.stringify({ ...found, "after calls": seen() }) + "\\n");
};
`;
const FORMS = {
  CommonJS: { "index.js": `const own = () => exports;${SEEN}exports.handler = answer;` },
  "an ES module": {
    "index.mjs": `import { createRequire } from "node:module"; import * as self from "./index.mjs"; const require = createRequire(import.meta.url);
    const own = () => ({ handler: answer });${SEEN.replace("const answer = async (event) =>", "var answer = async (event) =>")}export { answer as handler };`,
  },
};

// For each registry, what the layer may add and take away: patterns of the texts, and the reason.
const PERMITTED = {
  channels: [/^undici:(client|request):\w+$/, undefined, "calls of `fetch` are traced"],
  descriptors: [
    /^(socket|anon_inode|pipe|\/dev\/null)$/,
    undefined,
    "the connection to the extension, from the first export on, and the event loop of the thread with import hooks",
  ],
  handles: [/^Immediate$/, undefined, "for some turns of the event loop after an answer, which is then sent"],
  handler: [/^true$/, /^answer1$/, "a proxy, with the names and values of the handler"],
  modules: [
    /\/lambda-otlp\/(events\.json|node(-packages)?\/)|\/events\.json$|\/layer\/node\/|node-packages\//,
    undefined,
    "the layer's own files",
  ],
  properties: [
    /^(process\.emit function emit 1|process\.getBuiltinModule .*|Module\.prototype\.(require|_compile) .*|https?\.(get|request) enumerable function .*|globalThis\.Symbol\(opentelemetry\.js\.api\.1\) .*|globalThis\.Symbol\(lambda-otlp: facade\) function .*)$/,
    /^(process\.getBuiltinModule .*|Module\.prototype\.(require|_compile) .*|https?\.(get|request) enumerable function .*)$/,
    "libraries are traced, with OpenTelemetry's instrumentations; the end of the process is noted; OpenTelemetry's API is registered",
  ],
  stacks: [
    /lambda-otlp\/node|\/layer\/node|node-packages|AsyncLocalStorage\.run/,
    /^ {4}at /,
    "the wrapper of the handler, which Node shows only in stacks that the handler itself reads. It takes the place of the runtime's frames",
  ],
  symbols: [/^Symbol\((opentelemetry\.js\.api\.1|lambda-otlp: facade)\)$/, undefined, "OpenTelemetry's API is registered"],
  "threads of the system": [/^\d+$/, undefined, "Node's threads start when they are needed"],
  variables: [
    /^(OTEL_EXPORTER_OTLP_(PROTOCOL|METRICS_TEMPORALITY_PREFERENCE)|OTEL_(LOGS_EXPORTER|RESOURCE_ATTRIBUTES|SERVICE_NAME)|AWS_LAMBDA_EXEC_WRAPPER|AWS_XRAY_DAEMON_ADDRESS|PWD|OLDPWD|SHLVL|_)=/,
    /^(AWS_XRAY_DAEMON_ADDRESS|_|SHLVL)=/,
    "the wrapper's variables are for any OpenTelemetry or X-Ray SDK, and the shell has its own",
  ],
};

test("a function sees the same process", async (context) => {
  const server = await target();
  for (const [name, files] of Object.entries(FORMS)) {
    await context.test(name, async () => {
      const folder = task(files);
      const [expected, found] = [await foundByFunction(folder, server, false), await foundByFunction(folder, server, true)];
      const differences = found.flatMap((invocation, number) =>
        Object.entries(invocation).flatMap(([when, registries]) =>
          Object.entries(registries).flatMap(([registry, texts]) =>
            differencesOf(`${registry}, ${when} (${number})`, registry, texts, expected[number][when][registry]),
          ),
        ),
      );
      assert.deepEqual(differences, []);
    });
  }
  server.close();
});

async function foundByFunction(folder, server, wrapper) {
  const place = path.join(folder, `found-${wrapper}`);
  const ran = await run(folder, [{}, {}], { wrapper, env: { TARGET: server.url, FOUND: place } });
  assert.equal(ran.kind("CLIENT").length, wrapper ? 4 : 0, ran.text);
  return fs
    .readFileSync(place, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

function differencesOf(place, registry, found, expected) {
  const [mayBeAdded, mayBeLost] = PERMITTED[registry] ?? [];
  const added = rest(found, expected).filter((each) => !mayBeAdded?.test(each));
  const missing = rest(expected, found).filter((each) => !mayBeLost?.test(each));
  return added.length + missing.length === 0 ? [] : [{ place, added, missing }];
}

/// Returns the texts that the first list has more often than the second.
function rest(list, other) {
  const left = other.map(String);
  return list.map(String).filter((each) => {
    const at = left.indexOf(each);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
