// Creates a span for the time that a request or message waited at API Gateway, SQS or EventBridge, based on the time in the
// event.

"use strict";

const clock = require("./clock.cjs");

// Longest wait with a span. OpenObserve rejects spans older than five hours.
const LONGEST_MS = 4 * 60 * 60 * 1000;

/// Creates the span below the invocation's span, although it begins earlier. As the parent, it would hide the caller from service
/// maps.
function wait(tracer, { messages, receivedMs }, context) {
  const now = clock.now();
  const waited = now - receivedMs;
  if (!(waited >= 0 && waited <= LONGEST_MS)) return;
  const attributes = { "lambda_otlp.inferred": true };
  tracer
    .startSpan(`${messages?.source ?? "HTTP"} wait`.trim(), { startTime: new Date(receivedMs), attributes }, context)
    .end(new Date(now));
}

module.exports = { wait };
