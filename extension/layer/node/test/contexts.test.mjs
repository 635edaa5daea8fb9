// Work that outlives an invocation is in no other invocation's trace.

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Contexts } from "../contexts.cjs";
import { packages, run, target, task } from "./local_lambda.mjs";

// What the first invocation starts, and how each invocation hands it a call. The work resolves the promise of `call`.
const KINDS = {
  interval: ["const waiting = []; setInterval(() => waiting.shift()?.(), 5);", "waiting.push(call)"],
  "chain of timers": [
    "const waiting = []; (function tick() { waiting.shift()?.(); setTimeout(tick, 5); })();",
    "waiting.push(call)",
  ],
  "event emitter with a bound listener": [
    'const emitter = new (require("node:events"))(); const { AsyncResource } = require("node:async_hooks"); emitter.on("job", AsyncResource.bind((call) => call()));',
    'emitter.emit("job", call)',
  ],
  "asynchronous loop": [
    "let wake; const waiting = []; (async () => { for (;;) { await new Promise((resolve) => { wake = resolve; }); await waiting.shift()(); } })();",
    "waiting.push(call); wake()",
  ],
  stream: [
    'const { Writable } = require("node:stream"); const stream = new Writable({ objectMode: true, write: (call, _, done) => call().then(() => done()) });',
    "stream.write(call)",
  ],
  "pool of undici": [
    'const { Pool } = require("undici"); const pool = new Pool(URL, { connections: 1 });',
    "call(() => pool.request({ path, method: 'GET' }).then(({ body }) => body.text()))",
  ],
  "agent of http": [
    'const http = require("node:http"); const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });',
    "call(() => new Promise((resolve) => http.get(URL + path, { agent }, (response) => response.resume().on('end', resolve))))",
  ],
};

test("calls of later invocations are in their traces", async (context) => {
  const modules = packages(["undici@7"]);
  for (const [name, [start, hand]] of Object.entries(KINDS)) {
    await context.test(name, async () => {
      const server = await target();
      const text = `const URL = ${JSON.stringify(server.url)}; let kept;
        exports.handler = async ({ n }, { awsRequestId }) => {
          kept ??= await (async () => { ${start} return (path, call) => { ${hand}; }; })();
          const path = "/" + n;
          const get = () => fetch(URL + path).then((response) => response.text());
          await new Promise((resolve) => kept(path, (other = get) => other().then(resolve)));
          return awsRequestId;
        };`;
      const ran = await run(task({ "index.js": text }, modules), [{ n: 1 }, { n: 2 }, { n: 3 }]);
      server.close();
      const roots = Object.fromEntries(ran.kind("SERVER").map((span) => [span.attributes["faas.invocation_id"], span.traceId]));
      assert.deepEqual(Object.keys(roots).sort(), [...ran.results].sort(), ran.text);
      assert.deepEqual(server.traces(), Object.fromEntries(ran.results.map((request, n) => [`/${n + 1}`, roots[request]])));
      assert.deepEqual(
        ran
          .kind("CLIENT")
          .map((span) => span.traceId)
          .sort(),
        Object.values(roots).sort(),
      );
    });
  }
});

test("work outside of an invocation starts a trace with a link", () => {
  const folder = packages([
    "@opentelemetry/api@1.9.1",
    "@opentelemetry/context-async-hooks@2.12.0",
    "@opentelemetry/sdk-trace-base@2.12.1",
  ]);
  const load = createRequire(`${folder}/_`);
  const api = load("@opentelemetry/api");
  const { AlwaysOffSampler, BasicTracerProvider, InMemorySpanExporter, RandomIdGenerator, SimpleSpanProcessor } =
    load("@opentelemetry/sdk-trace-base");
  const contexts = new Contexts(api, new RandomIdGenerator());
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  contexts.link(provider);
  const { AsyncLocalStorageContextManager } = load("@opentelemetry/context-async-hooks");
  api.context.setGlobalContextManager(contexts.follow(new AsyncLocalStorageContextManager()));
  const tracer = provider.getTracer("shop");
  const invocation = (of = tracer) => {
    const span = of.startSpan("invocation");
    const { context, end } = contexts.begin(api.trace.setSpan(api.ROOT_CONTEXT, span));
    const kept = api.context.with(context, () => AsyncLocalStorage.snapshot());
    return { span, kept, end };
  };
  const late = () =>
    tracer.startActiveSpan("late", (span) => {
      tracer.startSpan("child").end();
      span.end();
    });
  const ended = () => exporter.getFinishedSpans().slice(-2);

  const first = invocation();
  first.end();
  first.kept(late);
  const [child, own] = ended();
  assert.equal(own.parentSpanContext, undefined);
  assert.notEqual(own.spanContext().traceId, first.span.spanContext().traceId);
  assert.deepEqual(
    own.links.map(({ context }) => context.spanId),
    [first.span.spanContext().spanId],
  );
  assert.equal(child.parentSpanContext.spanId, own.spanContext().spanId);
  assert.equal(child.links.length, 0);
  // One invocation runs, also for work that was scheduled between invocations.
  const rescheduled = first.kept(() => AsyncLocalStorage.snapshot());
  const second = invocation();
  rescheduled(late);
  assert.equal(ended()[1].parentSpanContext.spanId, second.span.spanContext().spanId);
  // Two invocations run, so that the work belongs to neither.
  const third = invocation();
  first.kept(late);
  assert.equal(ended()[1].parentSpanContext, undefined);
  for (const { end } of [second, third]) end();
  // The caller has decided against spans.
  const unsampled = invocation(new BasicTracerProvider({ sampler: new AlwaysOffSampler() }).getTracer("off"));
  unsampled.end();
  const count = exporter.getFinishedSpans().length;
  unsampled.kept(late);
  assert.equal(exporter.getFinishedSpans().length, count);
  api.context.disable();
});
