// Exports the spans of an invocation before its timeout, and ends open spans when the process exits (last_words.cjs).
//
// Shortly before the deadline, a timer exports the ended spans. It also exports the open spans as partial spans: errors that end
// at the time of the export. If such a span ends after all, it is exported again, complete. A function that blocks the event loop
// until its deadline lets no timer run. Its invocation leaves only its record (records.cjs) and the spans exported earlier.

"use strict";

const { timeLeft } = require("./bound.cjs");
const { correctAttributes, databaseCall } = require("./corrections.cjs");
const { clock, say } = require("./originals.cjs");
const { recordFailure } = require("./failure.cjs");
const { Records } = require("./records.cjs");

// Time reserved for the export before the deadline. It needs at most 15 ms of a full CPU, and a function with 256 MB has a
// seventh of one. Functions with less memory reserve up to twice the time.
const RESERVE_MS = 100;
const ENOUGH_MEMORY = 256;
// Maximum share of an invocation's time to reserve.
const MAX_OF_BUDGET = 0.1;
// Limit on tracked open spans. At the limit, the spans of finished invocations are dropped. If that frees no room, new spans are
// not tracked.
const MAX_OPEN = 1024;

const ERROR_TYPE = "timeout";
const ABOUT_TO_TIME_OUT = "the invocation was about to time out";
const PARTIAL = "lambda_otlp.partial";
// Lambda's error type of a process that exits.
const EXITED = "Runtime.ExitError";

/// A span processor that tracks the open spans of each invocation.
class CutOffs {
  /// `makePartial` returns the exporter of partial spans.
  constructor(load, makePartial) {
    this.api = load("@opentelemetry/api");
    this.suppressTracing = load("@opentelemetry/core").suppressTracing;
    this.makePartial = makePartial;
    /// Key of the invocation in the contexts of its spans.
    this.invocationKey = this.api.createContextKey("lambda-otlp: the invocation's end");
    this.records = new Records(process.env.AWS_LAMBDA_RUNTIME_API);
    /// The open spans, each with its invocation, by their ids.
    this.open = new Map();
    this.running = new Set();
  }

  /// Starts to track an invocation with this root span. Its other spans start in the `context` of the returned invocation.
  /// `flush` exports ended spans.
  begin(span, lambda, context, flush) {
    const invocation = { root: span, flush, context, timer: undefined, failure: undefined, isCutOff: false };
    this.records.announce(lambda.awsRequestId, span.spanContext());
    if ((span.spanContext().traceFlags & this.api.TraceFlags.SAMPLED) === 0) return invocation;
    invocation.context = context.setValue(this.invocationKey, invocation);
    this.track(span, invocation);
    const remaining = timeLeft(lambda);
    // Without a remaining time, there is no known deadline.
    if (remaining > 0 && remaining !== Infinity) {
      const reserved = Math.min(reserveMs(), remaining * MAX_OF_BUDGET);
      invocation.timer = clock.setTimeout(() => this.export(invocation), remaining - reserved);
      // The timer must not keep the process alive.
      invocation.timer.unref();
    }
    this.running.add(invocation);
    return invocation;
  }

  /// Stops the timer of an invocation and marks it as finished, because its handler has ended.
  end(invocation) {
    clock.clearTimeout(invocation.timer);
    this.running.delete(invocation);
  }

  /// Ends CLIENT spans that have a response. The instrumentation ends such a span after the function has read the response, which
  /// may happen in a later invocation or never.
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
    const invocation = context.getValue(this.invocationKey);
    if (invocation !== undefined && span.isRecording()) this.track(span, invocation);
  }

  onEnd(span) {
    this.open.delete(span.spanContext().spanId);
  }

  async forceFlush() {}

  async shutdown() {}

  track(span, invocation) {
    if (this.open.size >= MAX_OPEN) this.forgetFinished();
    if (this.open.size < MAX_OPEN) this.open.set(span.spanContext().spanId, { span, invocation });
  }

  /// Stops tracking the spans that finished invocations left open.
  forgetFinished() {
    for (const [id, { invocation }] of this.open) {
      if (!this.running.has(invocation)) this.open.delete(id);
    }
  }

  /// Exports the ended spans and, as partial spans, the open ones. Never throws, and does not wait for the exports.
  export(invocation) {
    const { api } = this;
    invocation.isCutOff = true;
    api.context.with(this.suppressTracing(api.ROOT_CONTEXT), () => {
      try {
        const spans = this.partialOf(invocation, clock.now());
        if (spans.length > 0) {
          this.makePartial().export(spans, ({ error }) => {
            if (error !== undefined) return reportFailure(error);
            // Stops tracking them, so that a process exit does not write them again.
            spans.forEach((span) => this.onEnd(span));
          });
        }
      } catch (error) {
        reportFailure(error);
      }
      // A failure is ignored. Open spans are exported when they end, but the SDK drops a batch of ended spans if its export
      // fails.
      Promise.resolve(invocation.flush()).catch(() => {});
    });
  }

  partialOf(invocation, now) {
    const spans = [...this.open.values()].filter((open) => open.invocation === invocation).map((open) => open.span);
    return spans.map((span) => partial(this.api, span, now, { isRoot: span === invocation.root }));
  }

  /// Notes an unhandled failure, because the process may end by it.
  noteFailure(value) {
    require("./frames.cjs").cutFrames(value);
    // The value may be `undefined`.
    for (const invocation of this.running) invocation.failure = { value };
  }

  /// Ends the open spans of running invocations, because the process ends with this exit code. The span that began last ends
  /// first.
  endOpen(code) {
    const open = [...this.open.values()].filter(({ invocation }) => this.running.has(invocation));
    for (const { span, invocation } of open.reverse()) {
      span.setAttribute(PARTIAL, true);
      const hasFailure = span === invocation.root && this.recordExit(span, invocation.failure);
      if (!hasFailure) {
        span.setStatus({ code: this.api.SpanStatusCode.ERROR, message: `the process ended with exit code ${code}` });
      }
      span.end();
    }
  }

  /// Sets the `error.type` of a root span. Returns `true` if it recorded the failure that ended the process.
  recordExit(span, failure) {
    span.setAttribute("error.type", EXITED);
    if (failure === undefined) return false;
    try {
      span.setAttribute("error.type", recordFailure(this.api, span, failure.value).name);
      return true;
    } catch {
      // The value may be an object without a conversion to text.
      return false;
    }
  }
}

function reserveMs() {
  const memory = Number(process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE);
  return memory > 0 ? RESERVE_MS * Math.min(2, Math.max(1, ENOUGH_MEMORY / memory)) : RESERVE_MS;
}

/// Returns a view of the span that ends now. The span itself continues.
function partial(api, span, now, { isRoot }) {
  const end = [Math.trunc(now / 1000), (now % 1000) * 1e6];
  const begun = span.startTime;
  // The end must not precede the start.
  const isLater = end[0] > begun[0] || (end[0] === begun[0] && end[1] >= begun[1]);
  const { attributes, name } = databaseCall(span) ?? span;
  const values = {
    name,
    attributes: correctAttributes({ ...attributes, ...(isRoot && { "error.type": ERROR_TYPE }), [PARTIAL]: true }),
    ended: true,
    endTime: isLater ? end : begun,
    status: { code: api.SpanStatusCode.ERROR, message: ABOUT_TO_TIME_OUT },
  };
  const view = Object.create(span);
  for (const [name, value] of Object.entries(values)) Object.defineProperty(view, name, { value });
  return view;
}

function reportFailure(error) {
  say(`cannot export the open spans: ${error}`);
}

module.exports = { CutOffs };
