// Statements and commands become spans without their values. tests/interop has the drivers of servers.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { test } from "node:test";
import { packages, run, task } from "./local_lambda.mjs";

const require = createRequire(import.meta.url);
const { describeCall, maskedMessage } = require("../databases.cjs");
const { MAX_SUMMARY, MAX_TEXT, describe } = require("../statements.cjs");
const ROWS = new URL("../../../../tests/fixtures/statements.jsonl", import.meta.url);

test("a statement is described without its values, as in Python", () => {
  for (const line of fs.readFileSync(ROWS, "utf8").trim().split("\n")) {
    const { system, statement, ...expected } = JSON.parse(line);
    assert.deepEqual(describe(system, statement), expected, statement);
  }
});

test("a long statement is cut", () => {
  const long = {
    "a value": `SELECT '${"x".repeat(5_000_000)}`,
    values: `INSERT INTO users VALUES ${"(1, 'secret'), ".repeat(300_000)}`,
    parentheses: "(".repeat(1_000_000),
    "parameters without an end": "%(".repeat(1_000_000),
    "tags without an end": "$a".repeat(1_000_000),
    tables: `SELECT 1 FROM ${"a_table, ".repeat(300_000)}`,
  };
  for (const [name, statement] of Object.entries(long)) {
    const found = describe("postgresql", statement);
    assert.ok(found.text.length <= MAX_TEXT, name);
    assert.ok(found.summary.length <= MAX_SUMMARY, name);
  }
});

test("a message has nothing of a statement", () => {
  const messages = {
    'duplicate key value violates unique constraint "users_pkey"\nDETAIL: Key (name)=(secret)':
      "duplicate key value violates unique constraint '?'",
    "near 'it's secret' at line 1": "near '?' at line 1",
    "dup key: { n: 5 }": "dup key: ?",
    "Connection terminated": "Connection terminated",
  };
  for (const [message, masked] of Object.entries(messages)) assert.equal(maskedMessage(message), masked);
});

test("a span that cannot be described keeps no statement", () => {
  const instrumentationScope = { name: "@opentelemetry/instrumentation-pg" };
  const attributes = { "db.system.name": "postgresql", "db.query.text": "SELECT 'secret'" };
  const call = describeCall({ name: "pg.query", attributes, instrumentationScope, status: { code: 0 } });
  assert.ok(!JSON.stringify(call).includes("secret"));
});

/// A server that answers all commands of Redis as if they had succeeded.
function redis() {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      const commands = String(data)
        .split(/(?=^\*\d+\r\n)/m)
        .map((command) => command.split("\r\n")[2]?.toUpperCase());
      socket.write(commands.map((command) => (command === "BOGUS" ? "-ERR unknown command 'secret'\r\n" : "+OK\r\n")).join(""));
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

const CALLS = `
const client = new Redis({ port: Number(process.env.REDIS), host: "127.0.0.1", protocol: 2, enableReadyCheck: false, disableClientInfo: true });
client.on("error", () => {});
export const handler = async () => {
  const found = [await client.set("secret", "secret")];
  await client.call("bogus", "secret").catch(({ message }) => found.push(message));
  return found;
};
`;
const FORMS = {
  "ES module": { "index.mjs": `import { Redis } from "ioredis";${CALLS}` },
  CommonJS: { "index.cjs": `const { Redis } = require("ioredis");${CALLS.replace("export const handler", "exports.handler")}` },
  "loaded in the invocation": {
    "index.cjs": `exports.handler = async () => { const { Redis } = require("ioredis"); ${CALLS.replace("export const handler =", "const call =")} return call(); };`,
  },
};

for (const [form, files] of Object.entries(FORMS)) {
  test(`commands are spans, and the results are those of before: ${form}`, async () => {
    const server = await redis();
    const [name, text] = Object.entries(files)[0];
    const folder = task({ [name]: text }, packages(["ioredis@6.0.0"]));
    const env = { REDIS: String(server.address().port) };
    const without = await run(folder, [{}], { env, wrapper: false });
    const ran = await run(folder, [{}], { env });
    const off = await run(folder, [{}], { env: { ...env, OTEL_NODE_DISABLED_INSTRUMENTATIONS: "ioredis" } });
    server.close();
    assert.deepEqual(ran.results, without.results, ran.text);
    const spans = ran.kind("CLIENT");
    assert.deepEqual(
      spans.map(({ name, attributes }) => [name, attributes["db.query.text"]]),
      [
        ["set", "set ? ?"],
        ["bogus", "bogus ?"],
      ],
      ran.text,
    );
    assert.ok(!JSON.stringify(spans).includes("secret"), JSON.stringify(spans));
    assert.deepEqual(off.kind("CLIENT"), [], off.text);
    assert.deepEqual(off.results, without.results, off.text);
  });
}

const OWN = [
  "@opentelemetry/api@1.9.1",
  "@opentelemetry/instrumentation@0.223.0",
  "@opentelemetry/instrumentation-ioredis@0.71.0",
];
const SDK = ["@opentelemetry/context-async-hooks@2.12.0", "@opentelemetry/sdk-trace-base@2.12.1"];
const LIBRARY = 'const { Redis } = require("ioredis");';
const INSTRUMENTATION = `
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { IORedisInstrumentation } = require("@opentelemetry/instrumentation-ioredis");
registerInstrumentations({ instrumentations: [new IORedisInstrumentation({ requestHook: (span) => span.setAttribute("own", true) })] });
`;
const PROVIDER = `
const { context, trace } = require("@opentelemetry/api");
const { AsyncLocalStorageContextManager } = require("@opentelemetry/context-async-hooks");
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const exporter = new InMemorySpanExporter();
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
`;
const HANDLER = CALLS.replace("export const handler", "exports.handler");
const OF_SDK = HANDLER.replace(
  "const found = [",
  'return trace.getTracer("own").startActiveSpan("call", (span) => call().finally(() => span.end()));\n};\nconst call = async () => {\n  const found = [',
).replace("return found;", "return [...found, exporter.getFinishedSpans().filter(({ attributes }) => attributes.own).length];");
/// The function, and the value of the attribute that its own instrumentation gives each span of the layer.
const OWN_CASES = {
  "before the library": [INSTRUMENTATION + LIBRARY + HANDLER, [true, true]],
  "between two loads of the library": [
    LIBRARY.replace("Redis", "Redis: First") + INSTRUMENTATION + LIBRARY + HANDLER,
    [true, true],
  ],
  "before the layer": [LIBRARY + HANDLER, [true, true]],
  "behind the library, of which it sees nothing": [LIBRARY + INSTRUMENTATION + HANDLER, [undefined, undefined]],
  "with an SDK": [PROVIDER + INSTRUMENTATION + LIBRARY + OF_SDK, []],
};

for (const [name, [text, expected]] of Object.entries(OWN_CASES)) {
  test(`the function's own instrumentation makes the only spans: ${name}`, async () => {
    const server = await redis();
    const folder = task({ "index.cjs": text, "own.cjs": INSTRUMENTATION }, packages(["ioredis@6.0.0", ...OWN, ...SDK]));
    const env = { REDIS: String(server.address().port) };
    if (name === "before the layer") env.NODE_OPTIONS = `--require ${folder}/own.cjs`;
    const without = await run(folder, [{}], { env, wrapper: false });
    const ran = await run(folder, [{}], { env });
    server.close();
    assert.deepEqual(ran.results, without.results, ran.text);
    assert.deepEqual(
      ran.kind("CLIENT").map(({ attributes }) => attributes.own),
      expected,
      ran.text,
    );
    assert.equal(ran.text.includes("lambda-otlp-handler"), name === "with an SDK", ran.text);
  });
}
