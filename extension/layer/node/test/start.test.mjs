// A function that the layer cannot or should not instrument runs as without the layer, and its log has one line with the reason.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { task } from "./local_lambda.mjs";

const LAYER = fileURLToPath(new URL("../../", import.meta.url));
const ADDS = "exports.handler = (event, context) => event + context;";
const CALLS =
  "const { handler } = require(`${process.env.LAMBDA_TASK_ROOT}/shop.js`); console.log(process.env.NODE_OPTIONS, handler(1, 2))";
/// As Lambda's runtime client does (aws-lambda-ric 4, `WorkerManager`). The second thread is one of the function's own.
const MANAGED = `const { Worker } = require("worker_threads");
  const code = ${JSON.stringify(`${CALLS}; new (require("worker_threads").Worker)("", { eval: true })`)};
  new Worker(code, { eval: true, env: { ...process.env, _HANDLER: "shop.handler" }, execArgv: [] });`;

// The layer as Lambda mounts it.
const opt = fs.mkdtempSync(path.join(os.tmpdir(), "lambda-otlp-opt-"));
fs.symlinkSync(path.join(LAYER, "lambda-otlp-handler"), path.join(opt, "lambda-otlp-handler"));
fs.symlinkSync(LAYER, path.join(opt, "lambda-otlp"));

const REGISTERS = "globalThis[Symbol.for('opentelemetry.js.api.1')] = { trace: {} };";
const empty = (name) => ({ [`node_modules/${name}/index.js`]: "" });
/// A module that the function loads first, which has another tracer.
const traced = (names, text) => ({
  files: Object.assign({ "tracing.js": text }, ...[names].flat().map(empty)),
  options: "--require TASK/tracing.js",
});
/// Packages that trace a function together.
const INSTRUMENTED = ["@opentelemetry/instrumentation", "@opentelemetry/sdk-trace-base"];
const VERSIONS = {
  "@opentelemetry/api": "1.9.0",
  "@opentelemetry/context-async-hooks": "2.0.0",
  "@opentelemetry/core": "2.10.1",
  "@opentelemetry/exporter-trace-otlp-http": "0.205.0",
  "@opentelemetry/instrumentation": "0.205.0",
  "@opentelemetry/resources": "2.0.0",
  "@opentelemetry/sdk-trace-base": "1.27.0",
};
const INSTALLED = Object.entries(VERSIONS).flatMap(([name, version]) => [
  [`node_modules/${name}/package.json`, JSON.stringify({ name, version })],
  [`node_modules/${name}/index.js`, ""],
]);

// The reason, and the function.
const CASES = {
  "without packages": ["missing from the function and its layers", {}],
  "with a tracer in a comment": [
    "OpenTelemetry's packages are missing",
    { files: { "shop.js": `// Not NodeSDK, require('@opentelemetry/sdk-node') or dd-trace.\n${ADDS}` } },
  ],
  "with an outdated package": [
    "@opentelemetry/sdk-trace-base is 1.27.0, but 2.0.0 or later",
    { files: Object.fromEntries(INSTALLED) },
  ],
  "without the handler's file": [
    "/dist has no file shop.js, shop.mjs or shop.cjs: correct the handler dist/shop.handler, or add the file",
    { env: { _HANDLER: "dist/shop.handler" } },
  ],
  // Without a handler, the main thread says nothing.
  "in threads of a managed instance": [
    "missing from the function and its layers",
    { env: { _HANDLER: "", AWS_LAMBDA_MAX_CONCURRENCY: "10" }, program: MANAGED },
  ],
  "with a tracer provider": [
    "info: the function is not instrumented, because it has registered a tracer provider of its own",
    traced("none", REGISTERS),
  ],
  "with Sentry": ["it loads @sentry/node,", traced("@sentry/node", `require("@sentry/node"); ${REGISTERS}`)],
  "with Datadog": ["it loads dd-trace,", traced("dd-trace", 'require("dd-trace");')],
  "with instrumentations": [
    "it loads @opentelemetry/instrumentation,",
    traced(INSTRUMENTED, INSTRUMENTED.map((name) => `require("${name}");`).join("")),
  ],
  "with an instrumentation of HTTP": [
    "it loads @opentelemetry/instrumentation-http,",
    traced("@opentelemetry/instrumentation-http", 'require("@opentelemetry/instrumentation-http");'),
  ],
};

for (const [name, [reason, { files = {}, options = "--no-warnings", env = {}, program = CALLS }]] of Object.entries(CASES)) {
  test(`a function ${name} runs uninstrumented`, () => {
    const folder = task({ "shop.js": ADDS, ...files });
    const own = {
      PATH: "/usr/bin:/bin",
      _HANDLER: "shop.handler",
      LAMBDA_TASK_ROOT: folder,
      NODE_OPTIONS: options.replace("TASK", folder),
    };
    const { stdout, stderr } = spawnSync(path.join(opt, "lambda-otlp-handler"), [process.execPath, "-e", program], {
      env: { ...own, ...env },
      encoding: "utf8",
    });
    // Children of the function are not instrumented.
    assert.equal(stdout, `${own.NODE_OPTIONS} 3\n`, stderr);
    assert.match(stderr, /^lambda-otlp-handler: [^\n]+\n$/);
    assert.ok(stderr.includes(reason), stderr);
    if (options !== "--no-warnings") assert.match(stderr, /: info: .*LAMBDA_OTLP_INSTRUMENT=off/);
  });
}

test("an outdated Node can parse the start, and reports its version", () => {
  const start = path.join(LAYER, "node/start.cjs");
  const code = fs
    .readFileSync(start, "utf8")
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("//"))
    .join("\n");
  for (const syntax of ["=>", "const ", "let ", "`", "?.", "??", "node:", "catch {"]) assert.ok(!code.includes(syntax), syntax);
  const script = `Object.defineProperty(process.versions, "node", { value: "12.22.12" });
    process.env.NODE_OPTIONS = "--no-warnings --require=/opt/lambda-otlp/node/start.cjs";
    require(process.argv[1]); console.log(process.env.NODE_OPTIONS)`;
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", script, start], { encoding: "utf8" });
  assert.equal(stdout, "--no-warnings\n", stderr);
  const remedy = "update the function's image to Node 18.19, 20.6 or later, or set LAMBDA_OTLP_INSTRUMENT=off";
  assert.equal(stderr, `lambda-otlp-handler: not instrumented: Node 12.22.12 is too old: ${remedy}\n`);
});
