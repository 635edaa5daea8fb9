// Calls handlers of each form through the layer's handler.cjs, as Lambda's runtime does, with an SDK that only records events. The
// argument is the folder of handler.cjs. Prints a line for each form.

"use strict";

const { replaceHandler } = require(`${process.argv[2]}/handler.cjs`);

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const noted = [];
const span = {
  setAttribute: (name, value) => noted.push(`${name}=${value}`),
  setStatus: () => noted.push("failed"),
  recordException: () => {},
  end: () => noted.push("ended"),
};
const tracers = {
  getTracer: () => ({ startSpan: (name, { kind }) => (noted.push(`begun ${kind ?? ""}${name}`), span) }),
  // Takes longer than the handlers.
  forceFlush: () => new Promise((resolve) => setTimeout(() => resolve(noted.push("flushed")), 20)),
};
const api = {
  SpanKind: { CONSUMER: "consumer " },
  SpanStatusCode: {},
  context: {
    active: () => active,
    with: (context, action) => {
      const before = active;
      active = context;
      try {
        return action();
      } finally {
        active = before;
      }
    },
  },
  createContextKey: Symbol,
  propagation: {
    extract: (context, { traceparent }) => {
      if (traceparent !== undefined) noted.push(`called by ${traceparent}`);
      return context;
    },
  },
  trace: { setSpan: (context) => context, getSpanContext: () => undefined },
};
const context = (value) => ({ getValue: () => value, setValue: (_key, value) => context(value) });
let active = (api.ROOT_CONTEXT = context(undefined));
const lambda = { functionName: "shop", awsRequestId: "1", invokedFunctionArn: "arn:aws:lambda:eu-west-1:1:function:shop" };

const watch = {
  begin: (_span, _lambda, context) => (noted.push("watched"), { context }),
  end: () => noted.push("let go"),
  endAnswered: () => noted.push("answered ended"),
};
const brokenWatch = { begin: () => { throw new Error("no timer"); } };

async function check(form, handler, call, cutOffs) {
  noted.length = 0;
  const contexts = { begin: (context) => ({ context, end() {} }) };
  const { wrapped } = replaceHandler(() => api, { tracers, cutOffs, contexts }, { wrapped: handler }, "wrapped");
  if (wrapped.length !== handler.length || wrapped[STREAMING] !== handler[STREAMING] || wrapped.constructor !== handler.constructor) noted.push("looks different");
  const result = await call(wrapped).then(String, (error) => `error ${error.message}`);
  noted.push(result);
  await new Promise((resolve) => setTimeout(resolve, 40));
  console.log(`${form}: ${noted.join(", ")}`);
}

const promised = async (handler) => handler({}, lambda);
/// Calls a handler as Lambda's runtime does: the first answer counts.
const calledBack = (handler) => new Promise((resolve, reject) => {
  const done = (error, result) => (error === undefined || error === null ? resolve(result) : reject(error));
  const own = { ...lambda, done, succeed: (result) => done(null, result), fail: (error) => done(error ?? "handled") };
  let returned;
  try {
    returned = handler({}, own, done);
  } catch (error) {
    return done(error);
  }
  if (typeof returned?.then === "function") returned.then(own.succeed, own.fail).catch(own.fail);
});
/// Emits `beforeExit` as Node does: when the event loop is idle, and again after work that the first event started. Then the runtime
/// answers.
const idle = (handler) => new Promise((resolve) => {
  handler({}, lambda, () => {});
  process.once("beforeExit", () => resolve(null));
  process.emit("beforeExit", 0);
  setTimeout(() => process.emit("beforeExit", 0), 30);
});
const streamed = async (handler) => handler({}, "stream", lambda);
const streaming = Object.assign(async (_event, stream, { functionName }) => `${stream} ${functionName}`, { [STREAMING]: "response" });

async function main() {
  await check("promise", async () => 3, promised);
  const queued = { Records: [{ eventSource: "aws:sqs", eventSourceARN: "arn:aws:sqs:eu-west-1:1:orders", messageId: "1" }] };
  await check("messages", async () => 3, async (handler) => handler(queued, lambda));
  await check("odd route", async () => 3, async (handler) => handler({ rawPath: "/", httpMethod: "GET", routeKey: 5 }, lambda));
  const balanced = { multiValueHeaders: { TraceParent: ["a", "b"], Accept: [] } };
  await check("several values of a header", async () => 3, async (handler) => handler(balanced, lambda));
  await check("failed messages", async () => Promise.reject(new Error("no")), async (handler) => handler(queued, lambda));
  await check("returned messages", async () => ({ batchItemFailures: [{ itemIdentifier: "1" }], toString: () => "3" }), async (handler) => handler(queued, lambda));
  await check("no returned messages", async () => ({ batchItemFailures: [], toString: () => "3" }), promised);
  await check("status as text", async () => ({ statusCode: "503", toString: () => "3" }), promised);
  await check("status", async () => ({ statusCode: 502, toString: () => "3" }), promised);
  await check("rejection", async () => Promise.reject(new Error("no")), promised);
  await check("throw", () => { throw new Error("no"); }, promised);
  await check("value", () => 3, promised);
  await check("value beside a callback", () => 3, idle);
  await check("async function that never settles", async () => new Promise(() => {}), idle);
  await check("promise that never settles", () => new Promise(() => {}), idle);
  await check("callback", (_event, _lambda, callback) => void setTimeout(callback, 1, null, 3), calledBack);
  await check("failed callback", (_event, _lambda, callback) => callback(new Error("no")), calledBack);
  await check("callback of a promise", async (_event, _lambda, callback) => callback(null, 3), calledBack);
  await check("callback before the promise", async (_event, _lambda, callback) => { callback(null, 3); return 4; }, calledBack);
  await check("callback before an error", async (_event, _lambda, callback) => { callback(null, 3); throw new Error("no"); }, calledBack);
  await check("callback of the arguments", function () { setTimeout(arguments[2], 1, null, 3); }, calledBack);
  await check("context", (_event, { succeed }) => void setTimeout(succeed, 1, 3), calledBack);
  await check("failed context", (_event, { fail }) => void setTimeout(fail, 1, new Error("no")), calledBack);
  await check("thrown null", () => { throw null; }, calledBack);
  await check("thenable", () => ({ then: (resolve) => void setTimeout(resolve, 1, 3) }), promised);
  await check("status that throws", async () => ({ get statusCode() { throw new Error("no"); }, toString: () => "3" }), promised);
  await check("error without a text", async () => Promise.reject(Object.create(null, { message: { value: "no" } })), promised);
  const inner = { wrapped: async (event, own) => (event === 1 ? 3 : inner.wrapped(1, own)) };
  await check("calls itself", inner.wrapped, (handler) => promised((inner.wrapped = handler)));
  // As TypeScript compiles `handler.calls += 1`.
  const exported = { wrapped: Object.assign(async () => (exported.wrapped.calls += 1), { calls: 2 }) };
  await check("keeps a count", exported.wrapped, (handler) => promised((exported.wrapped = handler)));
  await check("stream", streaming, streamed);
  const responses = (globalThis.awslambda = { HttpResponseStream: class { static from(stream) { return stream; } } }).HttpResponseStream;
  const unavailable = Object.assign(async (_event, stream) => void responses.from(stream, { statusCode: 503 }), { [STREAMING]: "response" });
  await check("stream with a status", unavailable, async (handler) => handler({}, {}, lambda));
  await check("watched", async () => 3, promised, watch);
  await check("watched rejection", async () => Promise.reject(new Error("no")), promised, watch);
  await check("watched callback", (_event, _lambda, callback) => void setTimeout(callback, 1, null, 3), calledBack, watch);
  await check("watched value beside a callback", () => 3, idle, watch);
  await check("watched calls itself", inner.wrapped, (handler) => promised((inner.wrapped = handler)), watch);
  await check("broken watch", async () => 3, promised, brokenWatch);
  tracers.forceFlush = () => new Promise(() => {});
  lambda.getRemainingTimeInMillis = () => 60;
  await check("no time left", async () => 3, promised);
  tracers.forceFlush = () => Promise.reject(new Error("the extension is gone"));
  await check("failed flush", async () => 3, promised);
  tracers.getTracer = () => { throw new Error("no tracer"); };
  await check("no span", async () => 3, promised);
}

/// Exports to a receiver that accepts spans only sometimes.
async function exporting() {
  process.env.OTEL_EXPORTER_OTLP_TIMEOUT = "200";
  let made;
  const queue = (_exporter, { maxQueueSize, maxExportBatchSize }) => (made = [_exporter, `${maxQueueSize}, batch: ${maxExportBatchSize}`]);
  let isTaking = false;
  const taking = { export: (_items, done) => isTaking && done({ code: 0 }) };
  const load = (name) => SDK[name] ?? api;
  const SDK = {
    "@opentelemetry/exporter-trace-otlp-http": { OTLPTraceExporter: function () { return taking; } },
    "@opentelemetry/sdk-trace-base": {
      BatchSpanProcessor: class {
        constructor(...made) {
          queue(...made);
          this._droppedSpansCount = 0;
        }

        // Drops spans without a name.
        onEnd(span) {
          this._droppedSpansCount = span.name === undefined ? this._droppedSpansCount + 1 : 0;
        }

        forceFlush() {}
      },
    },
    "@opentelemetry/core": { ExportResultCode: { SUCCESS: 0, FAILED: 1 } },
  };
  const { boundExporter, processor } = require(`${process.argv[2]}/telemetry.cjs`);
  processor(load, boundExporter(load));
  const [exporter, size] = made;
  console.log(`queue: ${size}`);
  const write = process.stderr.write;
  let noted = [];
  process.stderr.write = (text) => noted.push(text.trim());
  for (const said of ["8", "0", "-5", "0.5", "few", ""]) {
    for (const name of ["QUEUE_SIZE", "EXPORT_BATCH_SIZE"]) process.env[`OTEL_BSP_MAX_${name}`] = said;
    processor(load, exporter);
    console.log(`queue of ${JSON.stringify(said)}: ${[made[1], ...noted].join(", ")}`);
    noted = [];
  }
  const batches = processor(load, exporter);
  for (const span of [{}, {}, { name: "n" }, {}]) batches.onEnd(span);
  batches.forceFlush();
  batches.forceFlush();
  process.stderr.write = write;
  console.log(`dropped: ${noted.join(", ")}`);
  const took = async () => {
    const begun = Date.now();
    const { code } = await new Promise((done) => exporter.export([], done));
    const time = Date.now() - begun;
    return `${code === 0 ? "taken" : "in vain"} ${time < 5 ? "at once" : time < 150 ? "after some milliseconds" : "after its time"}`;
  };
  console.log(`exports: ${await took()}, ${await took()}, ${((isTaking = true), await took())}, ${((isTaking = false), await took())}`);
}

/// Creates the instrumentations for several values of the variable that selects them.
function selecting() {
  const { instrumentLibraries } = require(`${process.argv[2]}/telemetry.cjs`);
  for (const said of [undefined, "", " ", "http", "other"]) {
    const made = [];
    const types = new Proxy({}, { get: (_, type) => class { constructor() { made.push(type); } } });
    if (said !== undefined) process.env.OTEL_NODE_ENABLED_INSTRUMENTATIONS = said;
    instrumentLibraries(Object.assign(() => types, { resolve: (name) => name }));
    console.log(`enabled ${JSON.stringify(said)}: [${made.join(", ")}]`);
  }
}

main().then(exporting).then(selecting);
