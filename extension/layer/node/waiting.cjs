// Creates a span for the time that a request or message waited at API Gateway, SQS or EventBridge, based on the time in the event.

"use strict";

const clock = require("./clock.cjs");

// Longest wait with a span. OpenObserve rejects spans older than five hours.
const LONGEST_MS = 4 * 60 * 60 * 1000;

/// Creates the span below the invocation's span, although it begins earlier. As the parent, it would hide the caller from service maps.
function wait(tracer, event, batch, context) {
  const now = clock.now();
  const began = receivedAt(event, batch);
  if (!(now - began >= 0 && now - began <= LONGEST_MS)) return;
  const attributes = { "lambda_otlp.inferred": true };
  tracer.startSpan(`${batch?.source ?? "HTTP"} wait`, { startTime: new Date(began), attributes }, context).end(new Date(now));
}

/// Returns the time of the event in milliseconds since the Unix epoch. The value is not finite if the event has no time.
function receivedAt(event, batch) {
  switch (batch?.attributes["messaging.system"]) {
    case undefined:
      return milliseconds(event?.requestContext?.timeEpoch ?? event?.requestContext?.requestTimeEpoch);
    case "aws_sqs":
      // EventBridge Pipes pass the records without the object around them.
      return (Array.isArray(event) ? event : event.Records).reduce((oldest, record) => {
        const sent = milliseconds(record?.attributes?.SentTimestamp);
        return sent < oldest ? sent : oldest;
      }, Infinity);
    case "aws_eventbridge":
      return typeof event.time === "string" ? Date.parse(event.time) : Number.NaN;
    default:
      return Number.NaN;
  }
}

/// Returns NaN for values other than numbers and texts: the conversion of an object may throw.
function milliseconds(value) {
  return typeof value === "number" || typeof value === "string" ? Number.parseFloat(value) : Number.NaN;
}

module.exports = { wait };
