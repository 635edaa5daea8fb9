// Creates a span for the time that a request or message waited at API Gateway, SQS or EventBridge, based on the time in the
// event.

"use strict";

const { clock } = require("./originals.cjs");

// Longest wait with a span. OpenObserve rejects spans older than five hours.
const LONGEST_MS = 4 * 60 * 60 * 1000;

/// The span is below the invocation's span, although it begins earlier. As the parent, it would hide the caller from service maps.
function recordWait(tracer, { messages, receivedMs }, context) {
  const now = clock.now();
  const waited = now - receivedMs;
  // An event without a time has waited for `NaN` milliseconds.
  if (!(waited >= 0 && waited <= LONGEST_MS)) return;
  const attributes = { "lambda_otlp.inferred": true };
  tracer
    .startSpan(`${messages?.source ?? "HTTP"} wait`.trim(), { startTime: new Date(receivedMs), attributes }, context)
    .end(new Date(now));
}

module.exports = { recordWait };
