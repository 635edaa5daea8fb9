// What is left of an invocation that is cut off by its timeout; and what ends with its process (last_words.cjs).
//
// Shortly before the deadline what has ended is exported, and the spans that are open, as partial ones: errors that end when they are
// exported. Where one ends after all, it is exported as ever, and takes the place of its partial version. A function that computes until
// its deadline lets no timer run: of its invocation the record is left (records.cjs), and what was exported before.
//
// Source: docs/line-format.md, `partial`.

"use strict";

const { timeLeft } = require("./bound.cjs");
const { recordFailure } = require("./failure.cjs");
const { Records } = require("./records.cjs");

// What an export before the deadline needs at most: 15 ms of a whole processor, of which a function of 256 MB has a seventh. One with
// less memory gets up to twice the time.
const RESERVE_MS = 100;
const ENOUGH_MEMORY = 256;
// And never more than this part of an invocation's time.
const MOST_OF_BUDGET = 0.1;
// So many open spans are known at most: of more, those that began first are exported.
const MOST_OPEN = 1024;

const ERROR_TYPE = "timeout";
const MESSAGE = "the invocation was about to time out";
const PARTIAL = "lambda_otlp.partial";
// As Lambda calls it.
const EXITED = "Runtime.ExitError";

/// A span processor that knows which spans are open, and of which invocation.
class CutOffs {
  /// `makePartial` makes an exporter that says of what it exports that it has not ended.
  constructor(load, makePartial) {
    this.api = load("@opentelemetry/api");
    this.suppressTracing = load("@opentelemetry/core").suppressTracing;
    this.makePartial = makePartial;
    /// In the context of all that an invocation does.
    this.key = this.api.createContextKey("lambda-otlp: the invocation's end");
    this.records = new Records(process.env.AWS_LAMBDA_RUNTIME_API);
    this.open = new Map();
    this.running = new Set();
  }

  /// An invocation begins with this span; `flush` exports what has ended. Its spans begin in the invocation's `context`.
  begin(span, lambda, context, flush) {
    const invocation = { root: span, flush, context, timer: undefined, failure: undefined };
    if ((span.spanContext().traceFlags & this.api.TraceFlags.SAMPLED) === 0) return invocation;
    invocation.context = context.setValue(this.key, invocation);
    this.keep(span, invocation);
    this.records.leave(lambda.awsRequestId, span.spanContext());
    const left = timeLeft(lambda);
    // Who tells no time tells of no deadline.
    if (left > 0 && left !== Infinity) {
      const reserved = Math.min(reserve(), left * MOST_OF_BUDGET);
      invocation.timer = setTimeout(() => this.export(invocation), left - reserved);
      // It keeps nothing alive.
      invocation.timer.unref();
    }
    this.running.add(invocation);
    return invocation;
  }

  /// Its handler has ended by itself.
  end(invocation) {
    clearTimeout(invocation.timer);
    this.running.delete(invocation);
  }

  /// A request ends when its answer has been read. If the function does not read it, that is in a later invocation, or never.
  endAnswered(invocation) {
    for (const { span, invocation: own } of [...this.open.values()]) {
      if (own === invocation && this.isAnswered(span)) span.end();
    }
  }

  isAnswered({ kind, attributes }) {
    const status = attributes["http.response.status_code"] ?? attributes["http.status_code"];
    return kind === this.api.SpanKind.CLIENT && status !== undefined;
  }

  onStart(span, context) {
    const invocation = context.getValue(this.key);
    if (invocation !== undefined && span.isRecording()) this.keep(span, invocation);
  }

  onEnd(span) {
    this.open.delete(span.spanContext().spanId);
  }

  async forceFlush() {}

  async shutdown() {}

  keep(span, invocation) {
    if (this.open.size >= MOST_OPEN) this.forget();
    if (this.open.size < MOST_OPEN) this.open.set(span.spanContext().spanId, { span, invocation });
  }

  /// What an invocation has never ended is nobody's when it is over.
  forget() {
    for (const [id, { invocation }] of this.open) {
      if (!this.running.has(invocation)) this.open.delete(id);
    }
  }

  /// Nothing here fails or waits: what is exported is on its way.
  export(invocation) {
    const { api } = this;
    api.context.with(this.suppressTracing(api.ROOT_CONTEXT), () => {
      try {
        const spans = this.partialOf(invocation, Date.now());
        if (spans.length > 0) {
          this.makePartial().export(spans, ({ error }) => {
            if (error !== undefined) return say(error);
            // They are not written once more if the process ends.
            spans.forEach((span) => this.onEnd(span));
          });
        }
      } catch (error) {
        say(error);
      }
      // What fails here is exported at the invocation's end, if it has one.
      Promise.resolve(invocation.flush()).catch(() => {});
    });
  }

  partialOf(invocation, now) {
    const open = [...this.open.values()].filter((open) => open.invocation === invocation);
    return open.map(({ span }) => partial(this.api, span, span === invocation.root, now));
  }

  /// Nobody handles this, so that the process may end by it.
  fail(value) {
    for (const invocation of this.running) invocation.failure = { value };
  }

  /// The process ends with this exit code, and what is open of the invocations that run ends with it: what began last is first.
  endOpen(code) {
    const open = [...this.open.values()].filter(({ invocation }) => this.running.has(invocation));
    for (const { span, invocation } of open.reverse()) {
      span.setAttribute(PARTIAL, true);
      if (span !== invocation.root || !this.describe(span, invocation.failure)) {
        span.setStatus({ code: this.api.SpanStatusCode.ERROR, message: `the process ended with exit code ${code}` });
      }
      span.end();
    }
  }

  /// Whether it says by what the process ended.
  describe(span, failure) {
    span.setAttribute("error.type", EXITED);
    if (failure === undefined) return false;
    try {
      span.setAttribute("error.type", recordFailure(this.api, span, failure.value).name);
      return true;
    } catch {
      // It may be an object that nobody can look at.
      return false;
    }
  }
}

function reserve() {
  const memory = Number(process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE);
  return memory > 0 ? RESERVE_MS * Math.min(2, Math.max(1, ENOUGH_MEMORY / memory)) : RESERVE_MS;
}

/// The span as it is now, which ends here. It goes on behind this view of it.
function partial(api, span, isRoot, now) {
  const end = [Math.trunc(now / 1000), (now % 1000) * 1e6];
  const begun = span.startTime;
  // An end never lies before its start.
  const isLater = end[0] > begun[0] || (end[0] === begun[0] && end[1] >= begun[1]);
  const values = {
    attributes: { ...span.attributes, ...(isRoot && { "error.type": ERROR_TYPE }), [PARTIAL]: true },
    ended: true,
    endTime: isLater ? end : begun,
    status: { code: api.SpanStatusCode.ERROR, message: MESSAGE },
  };
  const view = Object.create(span);
  for (const [name, value] of Object.entries(values)) Object.defineProperty(view, name, { value });
  return view;
}

function say(error) {
  process.stderr.write(`lambda-otlp-handler: cannot write the open spans before the timeout: ${error}\n`);
}

module.exports = { CutOffs };
