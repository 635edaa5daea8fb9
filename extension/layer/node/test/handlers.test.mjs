// Handlers of each form keep their result, and the spans are exported before the runtime gets it. The tests call the handlers as
// Lambda's runtime does, with an SDK that only records events.

import assert from "node:assert/strict";
import { test } from "node:test";
import { replaceHandler } from "../handler.cjs";

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
const brokenWatch = {
  begin: () => {
    throw new Error("no timer");
  },
};

/// `expected` are the events of an invocation, and then its result.
function check(form, expected, handler, call, cutOffs, of = tracers) {
  test(form, async () => {
    noted.length = 0;
    const contexts = { begin: (context) => ({ context, end() {} }) };
    const { wrapped } = replaceHandler(() => api, { tracers: of, cutOffs, contexts }, { wrapped: handler }, "wrapped");
    for (const each of ["length", "constructor", STREAMING]) assert.equal(wrapped[each], handler[each]);
    noted.push(await call(wrapped).then(String, (error) => `error ${error.message}`));
    // Nothing follows.
    await new Promise((resolve) => setTimeout(resolve, 40));
    assert.equal(noted.join(", "), expected);
  });
}

const promised = async (handler) => handler({}, lambda);
/// Calls a handler as Lambda's runtime does: the first answer counts.
const calledBack = (handler) =>
  new Promise((resolve, reject) => {
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
/// Emits `beforeExit` as Node does: when the event loop is idle, and again after work that the first event started. Then the
/// runtime answers.
const idle = (handler) =>
  new Promise((resolve) => {
    // For the test's runner, the event ends the test.
    const ofRunner = process.rawListeners("beforeExit");
    process.removeAllListeners("beforeExit");
    handler({}, lambda, () => {});
    process.once("beforeExit", () => {
      for (const listener of ofRunner) process.on("beforeExit", listener);
      resolve(null);
    });
    process.emit("beforeExit", 0);
    setTimeout(() => process.emit("beforeExit", 0), 30);
  });
const streamed = async (handler) => handler({}, "stream", lambda);
const streaming = Object.assign(async (_event, stream, { functionName }) => `${stream} ${functionName}`, {
  [STREAMING]: "response",
});

check("promise", "begun shop, ended, flushed, 3", async () => 3, promised);
const queued = { Records: [{ eventSource: "aws:sqs", eventSourceARN: "arn:aws:sqs:eu-west-1:1:orders", messageId: "1" }] };
check(
  "messages",
  "begun shop, begun consumer orders process, ended, ended, flushed, 3",
  async () => 3,
  async (handler) => handler(queued, lambda),
);
check(
  "odd route",
  "begun shop, ended, flushed, 3",
  async () => 3,
  async (handler) => handler({ rawPath: "/", httpMethod: "GET", routeKey: 5 }, lambda),
);
check(
  "failed messages",
  "begun shop, begun consumer orders process, failed, failed, failed, error.type=Error, error.type=Error, failed, ended, ended, flushed, error no",
  async () => Promise.reject(new Error("no")),
  async (handler) => handler(queued, lambda),
);
check(
  "returned messages",
  "begun shop, begun consumer orders process, aws.lambda.batch_item_failures=1, error.type=batch_item_failures, failed, error.type=batch_item_failures, failed, ended, ended, flushed, 3",
  async () => ({ batchItemFailures: [{ itemIdentifier: "1" }], toString: () => "3" }),
  async (handler) => handler(queued, lambda),
);
check(
  "no returned messages",
  "begun shop, ended, flushed, 3",
  async () => ({ batchItemFailures: [], toString: () => "3" }),
  promised,
);
check(
  "status as text",
  "begun shop, http.response.status_code=503, error.type=503, failed, ended, flushed, 3",
  async () => ({ statusCode: "503", toString: () => "3" }),
  promised,
);
check(
  "status",
  "begun shop, http.response.status_code=502, error.type=502, failed, ended, flushed, 3",
  async () => ({ statusCode: 502, toString: () => "3" }),
  promised,
);
check(
  "rejection",
  "begun shop, failed, failed, error.type=Error, ended, flushed, error no",
  async () => Promise.reject(new Error("no")),
  promised,
);
check(
  "throw",
  "begun shop, failed, failed, error.type=Error, ended, flushed, error no",
  () => {
    throw new Error("no");
  },
  promised,
);
check("value", "begun shop, ended, flushed, 3", () => 3, promised);
check("value of a handler with a callback", "begun shop, ended, flushed, null", () => 3, idle);
check(
  "async function that never settles",
  "begun shop, failed, failed, error.type=Error, ended, flushed, null",
  async () => new Promise(() => {}),
  idle,
);
check("promise that never settles", "begun shop, ended, flushed, null", () => new Promise(() => {}), idle);
check(
  "callback",
  "begun shop, ended, flushed, 3",
  (_event, _lambda, callback) => void setTimeout(callback, 1, null, 3),
  calledBack,
);
check(
  "failed callback",
  "begun shop, failed, failed, error.type=Error, ended, flushed, error no",
  (_event, _lambda, callback) => callback(new Error("no")),
  calledBack,
);
check(
  "callback of a promise",
  "begun shop, ended, flushed, 3",
  async (_event, _lambda, callback) => callback(null, 3),
  calledBack,
);
check(
  "callback before the promise",
  "begun shop, ended, flushed, 3",
  async (_event, _lambda, callback) => {
    callback(null, 3);
    return 4;
  },
  calledBack,
);
check(
  "callback before an error",
  "begun shop, ended, flushed, 3",
  async (_event, _lambda, callback) => {
    callback(null, 3);
    throw new Error("no");
  },
  calledBack,
);
check(
  "callback of the arguments",
  "begun shop, ended, flushed, 3",
  function () {
    setTimeout(arguments[2], 1, null, 3);
  },
  calledBack,
);
check("context", "begun shop, ended, flushed, 3", (_event, { succeed }) => void setTimeout(succeed, 1, 3), calledBack);
check(
  "failed context",
  "begun shop, failed, failed, error.type=Error, ended, flushed, error no",
  (_event, { fail }) => void setTimeout(fail, 1, new Error("no")),
  calledBack,
);
check(
  "thrown null",
  "begun shop, ended, flushed, undefined",
  () => {
    throw null;
  },
  calledBack,
);
check("thenable", "begun shop, ended, flushed, 3", () => ({ then: (resolve) => void setTimeout(resolve, 1, 3) }), promised);
check(
  "status that throws",
  "begun shop, failed, failed, error.type=Runtime.JSONStringifyError, ended, flushed, [object Object]",
  async () => ({
    get statusCode() {
      throw new Error("no");
    },
  }),
  promised,
);
check(
  "error without a text",
  "begun shop, failed, ended, flushed, error no",
  async () => Promise.reject(Object.create(null, { message: { value: "no" } })),
  promised,
);
const inner = { wrapped: async (event, own) => (event === 1 ? 3 : inner.wrapped(1, own)) };
check("calls itself", "begun shop, ended, flushed, 3", inner.wrapped, (handler) => promised((inner.wrapped = handler)));
// As TypeScript compiles `handler.calls += 1`.
const exported = { wrapped: Object.assign(async () => (exported.wrapped.calls += 1), { calls: 2 }) };
check("keeps a count", "begun shop, ended, flushed, 3", exported.wrapped, (handler) => promised((exported.wrapped = handler)));
check("stream", "begun shop, ended, flushed, stream shop", streaming, streamed);
const responses = (globalThis.awslambda = {
  HttpResponseStream: class {
    static from(stream) {
      return stream;
    }
  },
}).HttpResponseStream;
const unavailable = Object.assign(async (_event, stream) => void responses.from(stream, { statusCode: 503 }), {
  [STREAMING]: "response",
});
check(
  "stream with a status",
  "begun shop, http.response.status_code=503, error.type=503, failed, ended, flushed, undefined",
  unavailable,
  async (handler) => handler({}, {}, lambda),
);
check("watched", "begun shop, watched, let go, answered ended, ended, flushed, 3", async () => 3, promised, watch);
const pastDeadline = async (handler) => handler({}, { ...lambda, getRemainingTimeInMillis: () => -1 });
const cutOff = { ...watch, begin: (...values) => ({ ...watch.begin(...values), isCutOff: true }) };
check(
  "watched past the deadline",
  "begun shop, watched, let go, error.type=timeout, failed, answered ended, ended, 3, flushed",
  async () => 3,
  pastDeadline,
  cutOff,
);
check(
  "watched past the deadline without an export",
  "begun shop, watched, let go, answered ended, ended, 3, flushed",
  async () => 3,
  pastDeadline,
  watch,
);
check(
  "watched rejection",
  "begun shop, watched, let go, failed, failed, error.type=Error, answered ended, ended, flushed, error no",
  async () => Promise.reject(new Error("no")),
  promised,
  watch,
);
check(
  "watched callback",
  "begun shop, watched, let go, answered ended, ended, flushed, 3",
  (_event, _lambda, callback) => void setTimeout(callback, 1, null, 3),
  calledBack,
  watch,
);
check(
  "watched value of a handler with a callback",
  "begun shop, watched, let go, answered ended, ended, flushed, null",
  () => 3,
  idle,
  watch,
);
check(
  "watched calls itself",
  "begun shop, watched, let go, answered ended, ended, flushed, 3",
  inner.wrapped,
  (handler) => promised((inner.wrapped = handler)),
  watch,
);
check("broken watch", "begun shop, ended, flushed, 3", async () => 3, promised, brokenWatch);
const late = async (handler) => handler({}, { ...lambda, getRemainingTimeInMillis: () => 60 });
check("no time left", "begun shop, ended, 3", async () => 3, late, undefined, {
  ...tracers,
  forceFlush: () => new Promise(() => {}),
});
check("failed flush", "begun shop, ended, 3", async () => 3, promised, undefined, {
  ...tracers,
  forceFlush: () => Promise.reject(new Error("the extension is gone")),
});
check("no span", "3", async () => 3, promised, undefined, {
  getTracer: () => {
    throw new Error("no tracer");
  },
});
