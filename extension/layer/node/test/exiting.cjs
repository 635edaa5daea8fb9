// A process that ends in the middle of an invocation, with the layer's last_words.cjs, and a fake SDK that has only spans and a
// queue. The arguments are a folder for files, the case, and the address of a receiver.

"use strict";

const { AsyncLocalStorage } = require("node:async_hooks");
const fs = require("node:fs");
const http = require("node:http");
const { BoundExporter, agent } = require("../bound.cjs");
const { CutOffs } = require("../cut_off.cjs");
const { leaveLastWords } = require("../last_words.cjs");

const [, , files, form, address] = process.argv;
const REQUEST = "3da1f2dc-3222-475e-9205-e2e6c6318895";

const CASES = {
  async exits({ begin, child, queue }) {
    begin();
    child("ended").end();
    child("open");
    child("open later");
    // The spans of the function's own `exit` listeners are written too.
    process.on("exit", () => child("of a listener").end());
    queue("of an earlier one");
    process.exit(3);
  },
  async throws({ begin, child }) {
    begin();
    child("open");
    setImmediate(() => {
      throw new RangeError("nobody catches this");
    });
  },
  async "throws what nobody can look at"({ begin }) {
    begin();
    process.on("uncaughtException", () => process.exit(129));
    setImmediate(() => {
      throw Object.create(null);
    });
  },
  async rejects({ begin }) {
    begin();
    // Delays the exit as the runtime does, which first reports the error to Lambda.
    process.on("unhandledRejection", () => setTimeout(() => process.exit(128), 10));
    Promise.reject(new RangeError("nobody handles this"));
  },
  async "rejects, as Node ends by itself"({ begin }) {
    begin();
    Promise.reject(new RangeError("nobody handles this"));
  },
  async "waits for nothing"({ begin }) {
    begin();
    await new Promise(() => {});
  },
  async "goes on after a rejection"({ begin, end }) {
    begin();
    process.on("unhandledRejection", () => {});
    Promise.reject(new RangeError("nobody handles this"));
    await new Promise((resolve) => setTimeout(resolve, 10));
    end();
    begin("next");
    process.exit(0);
  },
  async "ends between invocations"({ begin, child, end, exporter }) {
    begin();
    child("never ends");
    end();
    exporter.normalExporter.isTaken = true;
    await exporter.flushed();
  },
  async "what is on its way is not written again"({ begin, child, exporter }) {
    begin();
    child("sent").end();
    exporter.flushed();
    await exporter.normalExporter.arrived;
    child("ended").end();
    process.exit(1);
  },
  async "what did not get on its way is written"({ begin, child, exporter }) {
    begin();
    child("not sent").end();
    exporter.flushed();
    process.exit(1);
  },
  async "what is still unsent after the wait is written"({ begin, child, exporter }) {
    process.env.OTEL_EXPORTER_OTLP_TIMEOUT = "10";
    // A request that waits for its connection.
    exporter.normalExporter.export = () => {};
    begin();
    child("not sent").end();
    await exporter.flushed();
    process.exit(1);
  },
  async "was about to time out"({ begin, child, cutOffs }) {
    const invocation = begin();
    child("open");
    cutOffs.makePartial = () => ({ export: (spans, done) => done({ code: 0 }) });
    cutOffs.export(invocation);
    child("began later");
    process.exit(1);
  },
  async "writes JSON logs"({ begin }) {
    Object.assign(process.env, { AWS_LAMBDA_LOG_FORMAT: "JSON", AWS_LAMBDA_LOG_LEVEL: "ERROR" });
    begin();
    process.exit(1);
  },
  async "has much"({ begin, queue }) {
    begin();
    // The time limit is never reached.
    Date.now = () => 0;
    for (let number = 0; number < 3000; number += 1) queue(noise(100));
    queue(noise(100_000));
    queue(noise(1_000_000));
    process.exit(1);
  },
  async "has closed stdout"({ begin, child }) {
    begin();
    child("ended").end();
    fs.closeSync(1);
    process.exit(1);
  },
  async "nobody reads"({ begin, queue }) {
    begin();
    for (let number = 0; number < 3000; number += 1) queue(noise(1000));
    process.exit(1);
  },
};

function noise(bytes) {
  return require("node:crypto")
    .randomBytes(bytes / 2)
    .toString("hex");
}

/// Mimics a span of the SDK.
class Span {
  constructor(name, processors) {
    const spanId = String((Span.made = (Span.made ?? 0) + 1)).padStart(16, "0");
    const resource = { attributes: { "service.name": "shop" } };
    Object.assign(this, { name, spanId, processors, resource, startTime: [1, 0], attributes: {}, events: [], ended: false });
  }

  spanContext() {
    return { traceId: "ab".repeat(16), spanId: this.spanId, traceFlags: 1 };
  }

  isRecording() {
    return !this.ended;
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  setStatus(status) {
    this.status = status;
  }

  recordException({ name }) {
    this.events.push(name);
  }

  end() {
    this.ended = true;
    for (const processor of this.processors) processor.onEnd(this);
  }
}

function sdk() {
  const storage = new AsyncLocalStorage();
  const context = (values) => ({
    getValue: (key) => values.get(key),
    setValue: (key, value) => context(new Map(values).set(key, value)),
  });
  const api = {
    ROOT_CONTEXT: context(new Map()),
    SpanStatusCode: { ERROR: "error" },
    TraceFlags: { SAMPLED: 1 },
    createContextKey: Symbol,
    context: { active: () => storage.getStore() ?? api.ROOT_CONTEXT, with: (within, action) => storage.run(within, action) },
  };
  return (name) => (name.endsWith("/core") ? { suppressTracing: (within) => within } : api);
}

/// Posts the exported spans. The promise `arrived` resolves when the server has them.
class Exporter {
  constructor(agent) {
    this.agent = agent;
    this.arrived = new Promise((resolve) => {
      this.arrive = resolve;
    });
  }

  export(spans, done) {
    if (this.isTaken) return done({ code: 0 });
    // OpenTelemetry's exporter sends asynchronously too.
    Promise.resolve().then(() => {
      const request = http.request(address, { method: "POST", agent: this.agent });
      request.on("error", () => {});
      request.end(JSON.stringify(spans.map(({ name }) => name)));
      // The response to a second request shows that the first request has arrived.
      http.get(`${address}/arrived`, this.arrive);
    });
  }
}

async function run() {
  const load = sdk();
  const exporter = new BoundExporter(
    (_timeout, note) => new Exporter(agent("http:", note)),
    { SUCCESS: 0, FAILED: 1 },
    load("api"),
  );
  const cutOffs = new CutOffs(load, () => undefined);
  cutOffs.records.runtimeApi = "127.0.0.1:9001";
  fs.writeFileSync(`${files}/records`, "");
  cutOffs.records.open = () => fs.openSync(`${files}/records`, "r+");
  let waiting = [];
  // The size limit of the queue.
  const batches = { onEnd: (span) => waiting.length < 3002 && waiting.push(span) };
  const flush = () => {
    const ended = waiting;
    waiting = [];
    if (ended.length > 0) return new Promise((resolve) => exporter.export(ended, resolve));
  };
  exporter.flushed = flush;
  const encode = (spans) =>
    Buffer.from(
      JSON.stringify(
        spans.map(({ name, status, attributes, events, ended }) => [name, status?.message, attributes, events, ended]),
      ),
    );
  leaveLastWords({ cutOffs, exporter, flush, encode });

  const processors = [batches, cutOffs];
  let invocation;
  let root;
  const begin = (name = "root") => {
    root = new Span(name, processors);
    const lambda = { awsRequestId: REQUEST, getRemainingTimeInMillis: () => 3_600_000 };
    invocation = cutOffs.begin(root, lambda, load("api").ROOT_CONTEXT, flush);
    return invocation;
  };
  const child = (name) => {
    const span = new Span(name, processors);
    cutOffs.onStart(span, invocation.context);
    return span;
  };
  const end = () => {
    cutOffs.end(invocation);
    root.end();
  };
  const queue = (name) => new Span(name, processors).end();
  await CASES[form]({ begin, child, end, queue, cutOffs, exporter });
}

run();
