// Limits the time that an invocation waits for its export. If the receiver accepts no spans, the first export waits for its
// timeout, by default one second. The next exports wait for 10 ms each until the receiver accepts spans again.

"use strict";

const { clock, say } = require("./originals.cjs");

// Default timeout of an export, and of the wait for it.
const TIMEOUT_MS = 1000;
// Wait for an export after a failed one: enough to notice that the receiver accepts spans again.
const WAIT_AFTER_FAILURE_MS = 10;
// Timeout of an export after a failed one. It continues during the function's work, and a short timeout avoids endless retries.
const TIMEOUT_AFTER_FAILURE_MS = 100;
// Time reserved for the invocation's response.
const RESPONSE_MS = 50;

// The longest time of a timer in milliseconds. Node fires a longer one at once (Node.js documentation, "Timers").
const MAX_TIMER_MS = 2 ** 31 - 1;

/// `false` after an export that failed or timed out, until the receiver accepts one.
let isAccepting = true;

/// The timeout of an export as the function's variables state it. An empty value counts as not set.
function statedTimeout() {
  return process.env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT || process.env.OTEL_EXPORTER_OTLP_TIMEOUT;
}

/// Returns the timeout of an export in milliseconds.
function timeoutMs() {
  const stated = Number(statedTimeout());
  return stated > 0 ? Math.min(stated, MAX_TIMER_MS) : TIMEOUT_MS;
}

/// Returns the time that an invocation waits for an export.
function longestWaitMs() {
  return isAccepting ? timeoutMs() : WAIT_AFTER_FAILURE_MS;
}

/// Reports a result to the SDK within the longest wait. A batch that the receiver accepts later is not lost, and restores the full
/// wait for the next export. `makeExporter(timeoutMillis, onRequest)` returns an exporter that calls `onRequest` with each of its
/// requests. Without a timeout, the function's variables set it.
class BoundExporter {
  constructor(makeExporter, codes, api) {
    this.api = api;
    this.codes = codes;
    /// Key of the batch in the context of its export.
    this.batchKey = api.createContextKey("lambda-otlp: export");
    /// The batches whose exports have not finished.
    this.underWay = new Set();
    /// The spans that are collected when the process ends, in place of an export.
    this.collected = undefined;
    const noteRequest = (request) => {
      const batch = api.context.active().getValue(this.batchKey);
      if (batch !== undefined) batch.request = request;
    };
    this.normalExporter = makeExporter(statedTimeout() ? undefined : TIMEOUT_MS, noteRequest);
    this.exporterAfterFailure = makeExporter(TIMEOUT_AFTER_FAILURE_MS, noteRequest);
  }

  export(spans, done) {
    if (this.collected !== undefined) {
      this.collected.push(...spans);
      return done({ code: this.codes.SUCCESS });
    }
    const batch = { spans, request: undefined };
    this.underWay.add(batch);
    let isReported = false;
    const report = (result) => {
      isAccepting = result.code === this.codes.SUCCESS;
      if (!isReported) done(result);
      isReported = true;
    };
    const stopWaiting = () => {
      if (isAccepting) say(`info: the extension has not accepted ${this.countUnderWay()} spans in time`);
      report({ code: this.codes.FAILED, error: new Error("the export timed out") });
    };
    const timer = clock.setTimeout(stopWaiting, longestWaitMs());
    const finish = (result) => {
      clock.clearTimeout(timer);
      // Until now, the request may be unsent, even if the wait for it is over.
      this.underWay.delete(batch);
      report(result);
    };
    const exporter = isAccepting ? this.normalExporter : this.exporterAfterFailure;
    const { context } = this.api;
    return context.with(context.active().setValue(this.batchKey, batch), () => exporter.export(spans, finish));
  }

  countUnderWay() {
    return [...this.underWay].reduce((count, { spans }) => count + spans.length, 0);
  }

  /// Returns the spans that are not exported when the process ends: the batches under way, and the spans that `flush` exports. It
  /// omits a batch if the operating system has its whole request, and delivers it.
  collectUnsent(flush) {
    const spans = [...this.underWay].filter((batch) => !isSent(batch)).flatMap((batch) => batch.spans);
    this.underWay.clear();
    this.collected = spans;
    flush();
    this.collected = undefined;
    return spans;
  }

  async shutdown() {
    await Promise.all([this.normalExporter.shutdown(), this.exporterAfterFailure.shutdown()]);
  }

  async forceFlush() {
    await Promise.all([this.normalExporter.forceFlush?.(), this.exporterAfterFailure.forceFlush?.()]);
  }
}

function isSent({ request }) {
  if (!request?.writableFinished) return false;
  return request.res ? request.res.statusCode < 300 : !request.destroyed;
}

/// Returns an agent with unreferenced sockets: an invocation that ends with an idle event loop does not wait for unanswered
/// connections. Code that waits for an export has its own timer. The agent calls `onRequest` with each request.
function agent(protocol, onRequest) {
  const { Agent } = require(protocol === "https:" ? "https" : "http");
  const agent = new Agent({ keepAlive: true });
  const { addRequest, createConnection, reuseSocket } = agent;
  agent.createConnection = function (...values) {
    const socket = createConnection.apply(this, values);
    socket?.unref?.();
    return socket;
  };
  agent.addRequest = function (request, ...values) {
    onRequest?.(request);
    return addRequest.call(this, request, ...values);
  };
  agent.reuseSocket = function (socket, request) {
    reuseSocket.call(this, socket, request);
    socket.unref?.();
  };
  return agent;
}

/// Waits for the flush, but no longer than for an export, and leaves time for the invocation's response.
async function flushInTime(flush, lambda) {
  const longest = Math.min(longestWaitMs(), timeLeft(lambda) - RESPONSE_MS);
  let timer;
  const timeout = new Promise((resolve) => {
    timer = clock.setTimeout(resolve, Math.max(0, longest));
  });
  await Promise.race([Promise.resolve(flush()).catch(() => {}), timeout]);
  clock.clearTimeout(timer);
}

function timeLeft(lambda) {
  try {
    const left = lambda.getRemainingTimeInMillis();
    // A deadline that no timer can reach is none.
    return Number.isFinite(left) && left <= MAX_TIMER_MS ? left : Infinity;
  } catch {
    return Infinity;
  }
}

module.exports = { BoundExporter, TIMEOUT_MS, agent, flushInTime, timeLeft, timeoutMs };
