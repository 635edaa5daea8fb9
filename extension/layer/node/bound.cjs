// No invocation waits for its export for long, whatever becomes of it: where nobody takes what is exported, the first waits for a
// second, and the next ones for some milliseconds, until somebody has taken it again.

"use strict";

// What an export may take, where nothing else is said.
const LONGEST_MS = 1000;
// And while nobody takes it: enough to see that somebody does again.
const SHORTEST_MS = 10;
// How long what nobody may take goes on beside the function's work, so that it is not tried again and again.
const ASIDE_MS = 100;
// What the response needs of an invocation's time.
const RESPONSE_MS = 50;

let isTaken = true;

function limit() {
  if (!isTaken) return SHORTEST_MS;
  const said = Number(process.env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT ?? process.env.OTEL_EXPORTER_OTLP_TIMEOUT);
  return said > 0 ? said : LONGEST_MS;
}

/// Gives the SDK a result in time. What is taken after that is not lost, and has the next export wait again. `make` makes an
/// exporter that gives up after some milliseconds, by default after those that the function's variables say, and calls what else it is
/// given with each of its requests.
class BoundExporter {
  constructor(make, codes, api) {
    this.api = api;
    /// In the context of all that an export does.
    this.key = api.createContextKey("lambda-otlp: what is exported");
    this.underWay = new Set();
    this.take = undefined;
    const noteRequest = (request) => {
      const batch = api.context.active().getValue(this.key);
      if (batch !== undefined) batch.request = request;
    };
    const isSaid = Boolean(process.env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT ?? process.env.OTEL_EXPORTER_OTLP_TIMEOUT);
    this.patient = make(isSaid ? undefined : LONGEST_MS, noteRequest);
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
    let isDone = false;
    const finish = (result) => {
      clearTimeout(timer);
      this.underWay.delete(batch);
      isTaken = result.code === this.codes.SUCCESS;
      if (!isDone) done(result);
      isDone = true;
    };
    const timer = setTimeout(() => finish({ code: this.codes.FAILED, error: new Error("nobody took it in time") }), limit());
    const exporter = isTaken ? this.patient : this.hasty;
    return api.context.with(api.context.active().setValue(this.key, batch), () => exporter.export(items, finish));
  }

  /// What was to be exported and cannot be any more, since the process ends: what `flush` exports, and what is under way, unless all
  /// of its request has been handed to the system, which delivers it.
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

/// An invocation that waits until nothing is under way does not wait for connections on which nobody answers. What waits for an
/// export has a timer. `note` is called with each request.
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

/// Waits for the flush, but not until the function's time is over.
async function withinTime(flush, lambda) {
  const most = Math.min(limit(), timeLeft(lambda) - RESPONSE_MS);
  let timer;
  const isLate = new Promise((resolve) => {
    timer = setTimeout(resolve, Math.max(0, most));
  });
  await Promise.race([Promise.resolve(flush()).catch(() => {}), isLate]);
  clearTimeout(timer);
}

function timeLeft(lambda) {
  try {
    const left = lambda.getRemainingTimeInMillis();
    return Number.isFinite(left) ? left : Infinity;
  } catch {
    return Infinity;
  }
}

module.exports = { BoundExporter, LONGEST_MS, agent, timeLeft, withinTime };
