// The SDK's queue, the time limits of exports, and the instrumentations follow the function's variables.

import assert from "node:assert/strict";
import { channel } from "node:diagnostics_channel";
import { test } from "node:test";
import { clock } from "../originals.cjs";
import { Libraries, batchProcessor, boundExporter } from "../telemetry.cjs";

let made;
let isTaking = false;
const receiver = { export: (_spans, done) => isTaking && done({ code: 0 }) };
const context = { getValue: () => undefined, setValue: () => context };
const SDK = {
  "@opentelemetry/api": { createContextKey: Symbol, context: { active: () => context, with: (_context, action) => action() } },
  "@opentelemetry/core": { ExportResultCode: { SUCCESS: 0, FAILED: 1 } },
  "@opentelemetry/exporter-trace-otlp-http": {
    OTLPTraceExporter: function () {
      return receiver;
    },
  },
  "@opentelemetry/sdk-trace-base": {
    BatchSpanProcessor: class {
      constructor(_exporter, { maxQueueSize, maxExportBatchSize }) {
        made = [maxQueueSize, maxExportBatchSize];
        this._droppedSpansCount = 0;
      }

      // Drops spans without a name.
      onEnd(span) {
        this._droppedSpansCount = span.name === undefined ? this._droppedSpansCount + 1 : 0;
      }

      forceFlush() {}
    },
  },
};
const load = (name) => SDK[name];

/// Returns the texts that the action writes to stderr.
function said(t, action) {
  const write = t.mock.method(process.stderr, "write", () => true);
  action();
  write.mock.restore();
  return write.mock.calls.map(({ arguments: [text] }) => text);
}

// The variables, and the sizes of the queue and of a batch. Others are reported.
for (const [value, expected] of [[undefined, [16384, 512]], ["", [16384, 512]], ["8", [8, 8]], ["0"], ["-5"], ["0.5"], ["few"]]) {
  test(`a queue of ${value}`, (t) => {
    const variables = ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"];
    if (value !== undefined) for (const name of variables) process.env[name] = value;
    const texts = said(t, () => batchProcessor(load, {}));
    for (const name of variables) delete process.env[name];
    assert.deepEqual(made, expected ?? [16384, 512]);
    const reported = variables.map(
      (name, at) => `lambda-otlp-handler: ${name} must be a whole number above 0, got ${value}; using ${made[at]}\n`,
    );
    assert.deepEqual(texts, expected === undefined ? reported : []);
  });
}

test("dropped spans are reported once", (t) => {
  const batches = batchProcessor(load, {});
  for (const span of [{}, {}, { name: "n" }, {}]) batches.onEnd(span);
  const texts = said(t, () => [1, 2].forEach(() => batches.forceFlush()));
  assert.deepEqual(texts, ["lambda-otlp-handler: dropped 3 spans: the queue of 16384 spans is full\n"]);
});

test("after a failed export, the next ones wait for moments until the receiver accepts spans", async (t) => {
  process.env.OTEL_EXPORTER_OTLP_TIMEOUT = "200";
  const exporter = boundExporter(load);
  const { setTimeout } = globalThis;
  const waits = [];
  t.mock.method(clock, "setTimeout", (action, wait) => (waits.push(wait), setTimeout(action, 1)));
  const codes = [];
  for (const each of [false, false, true, false]) {
    isTaking = each;
    codes.push(await new Promise((resolve) => exporter.export([], ({ code }) => resolve(code))));
  }
  assert.deepEqual(
    [codes, waits],
    [
      [1, 1, 0, 1],
      [200, 10, 10, 200],
    ],
  );
});

// The variable that selects instrumentations, whether the handler is an ES module, the instrumentations from the start, and those
// after the first file of AWS's SDK and the first message of undici.
const AWS = "AwsInstrumentation";
const HTTP = "HttpInstrumentation";
const UNDICI = "UndiciInstrumentation";
for (const [value, isModule, atStart, later] of [
  [undefined, false, [HTTP], [HTTP, AWS, UNDICI]],
  [undefined, true, [HTTP, AWS], [HTTP, AWS, UNDICI]],
  ["", false, [HTTP], [HTTP, AWS, UNDICI]],
  [" ", false, [HTTP], [HTTP, AWS, UNDICI]],
  ["http", false, [HTTP], [HTTP]],
  ["aws-sdk", false, [AWS], [AWS]],
  ["other", false, [], []],
]) {
  test(`OTEL_NODE_ENABLED_INSTRUMENTATIONS is ${JSON.stringify(value)}, ES module: ${isModule}`, () => {
    const made = [];
    const types = new Proxy(
      {},
      {
        get: (_, type) =>
          class {
            constructor() {
              made.push(type);
            }
          },
      },
    );
    if (value !== undefined) process.env.OTEL_NODE_ENABLED_INSTRUMENTATIONS = value;
    const libraries = new Libraries(
      Object.assign(() => types, { resolve: (name) => name }),
      isModule,
    );
    assert.deepEqual(made, atStart);
    for (let time = 0; time < 2; time += 1) {
      libraries.beforeCompiling("/var/task/node_modules/other/index.js");
      libraries.beforeCompiling("/var/task/node_modules/@smithy/core/dist-cjs/index.js");
      channel("undici:request:create").publish({});
    }
    assert.deepEqual(made, later);
    libraries.isReleased = true;
  });
}

test("libraries that load after another tracer is found are left to it", () => {
  const made = [];
  class Http {
    getConfig() {}
    setConfig() {}
    setTracerProvider() {}
  }
  const types = { HttpInstrumentation: Http, ProxyTracerProvider: class {} };
  delete process.env.OTEL_NODE_ENABLED_INSTRUMENTATIONS;
  const load = (name) => {
    made.push(name);
    return types;
  };
  const libraries = new Libraries(Object.assign(load, { resolve: (name) => name }));
  libraries.release();
  made.length = 0;
  libraries.beforeCompiling("/var/task/node_modules/@smithy/core/dist-cjs/index.js");
  channel("undici:request:create").publish({});
  assert.deepEqual(made, []);
});
