// Limits the time that an invocation waits for its export. If the receiver accepts no spans, the first export waits for its
// timeout, by default one second. The next exports wait for 10 ms each until the receiver accepts spans again.

"use strict";

const clock = require("./clock.cjs");

// Default timeout of an export.
const LONGEST_MS = 1000;
// Wait for an export after a failed one: enough to notice that the receiver accepts spans again.
const SHORTEST_MS = 10;
// Timeout of an export after a failed one. It continues during the function's work, and a short timeout avoids endless retries.
const ASIDE_MS = 100;
// Time reserved for the invocation's response.
const RESPONSE_MS = 50;

// The longest time of a timer in milliseconds. Node fires a longer one at once (Node.js documentation, "Timers").
const MOST_TIMER_MS = 2 ** 31 - 1;

let isTaken = true;

/// The timeout of an export as the function's variables state it. An empty value counts as not set.
function statedTimeout() {
  return process.env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT || process.env.OTEL_EXPORTER_OTLP_TIMEOUT;
}

/// Returns the timeout of an export in milliseconds.
function timeoutMs() {
  const said = Number(statedTimeout());
  return said > 0 ? Math.min(said, MOST_TIMER_MS) : LONGEST_MS;
}

function limit() {
  return isTaken ? timeoutMs() : SHORTEST_MS;
}

/// Reports a result to the SDK within the limit. A batch that the receiver accepts later is not lost, and restores the full wait
/// for the next export. `make(timeoutMillis, note)` returns an exporter that calls `note` with each of its requests. Without a
/// timeout, the function's variables set it.
class BoundExporter {
  constructor(make, codes, api) {
    this.api = api;
    /// Key of the batch in the context of its export.
    this.key = api.createContextKey("lambda-otlp: export");
    this.underWay = new Set();
    this.take = undefined;
    const noteRequest = (request) => {
      const batch = api.context.active().getValue(this.key);
      if (batch !== undefined) batch.request = request;
    };
    this.patient = make(statedTimeout() ? undefined : LONGEST_MS, noteRequest);
    this.hasty = make(ASIDE_MS, noteRequest);
    this.codes = codes;
  }

  export(items, done) {
    if (this.take !== undefined) {
      this.take(items);
      return done({ code: this.codes.SUCCESS });
    }
    const { api } = this;
    const batch = { items, request: undefined };
    this.underWay.add(batch);
    let isReported = false;
    const report = (result) => {
      isTaken = result.code === this.codes.SUCCESS;
      if (!isReported) done(result);
      isReported = true;
    };
    const timer = clock.setTimeout(() => {
      if (isTaken) {
        const waiting = [...this.underWay].reduce((count, { items }) => count + items.length, 0);
        process.stderr.write(`lambda-otlp-handler: info: the extension has not accepted ${waiting} spans in time\n`);
      }
      report({ code: this.codes.FAILED, error: new Error("the export timed out") });
    }, limit());
    const finish = (result) => {
      clock.clearTimeout(timer);
      // Until now, the request may be unsent, even if the wait for it is over.
      this.underWay.delete(batch);
      report(result);
    };
    const exporter = isTaken ? this.patient : this.hasty;
    return api.context.with(api.context.active().setValue(this.key, batch), () => exporter.export(items, finish));
  }

  /// Returns the spans that are not exported when the process ends: the spans that `flush` exports, and the batches under way. It
  /// omits a batch if the operating system has its whole request, and delivers it.
  rest(flush) {
    const items = [...this.underWay].filter((batch) => !isSent(batch)).flatMap((batch) => batch.items);
    this.underWay.clear();
    this.take = (more) => items.push(...more);
    flush();
    this.take = undefined;
    return items;
  }

  async shutdown() {
    await Promise.all([this.patient.shutdown(), this.hasty.shutdown()]);
  }

  async forceFlush() {
    await Promise.all([this.patient.forceFlush?.(), this.hasty.forceFlush?.()]);
  }
}

function isSent({ request }) {
  if (!request?.writableFinished) return false;
  return request.res ? request.res.statusCode < 300 : !request.destroyed;
}

/// Returns an agent with unreferenced sockets: an invocation that ends with an idle event loop does not wait for unanswered
/// connections. Code that waits for an export has its own timer. The agent calls `note` with each request.
function agent(protocol, note) {
  const { Agent } = require(protocol === "https:" ? "https" : "http");
  const agent = new Agent({ keepAlive: true });
  const connect = agent.createConnection;
  agent.createConnection = function (...values) {
    const socket = connect.apply(this, values);
    socket?.unref?.();
    return socket;
  };
  const add = agent.addRequest;
  agent.addRequest = function (request, ...values) {
    note?.(request);
    return add.call(this, request, ...values);
  };
  const reuse = agent.reuseSocket;
  agent.reuseSocket = function (socket, request) {
    reuse.call(this, socket, request);
    socket.unref?.();
  };
  return agent;
}

/// Waits for the flush within the export limit, and leaves time for the invocation's response.
async function withinTime(flush, lambda) {
  const most = Math.min(limit(), timeLeft(lambda) - RESPONSE_MS);
  let timer;
  const isLate = new Promise((resolve) => {
    timer = clock.setTimeout(resolve, Math.max(0, most));
  });
  await Promise.race([Promise.resolve(flush()).catch(() => {}), isLate]);
  clock.clearTimeout(timer);
}

function timeLeft(lambda) {
  try {
    const left = lambda.getRemainingTimeInMillis();
    // A deadline that no timer can reach is none.
    return Number.isFinite(left) && left <= MOST_TIMER_MS ? left : Infinity;
  } catch {
    return Infinity;
  }
}

module.exports = { BoundExporter, LONGEST_MS, agent, timeLeft, timeoutMs, withinTime };
