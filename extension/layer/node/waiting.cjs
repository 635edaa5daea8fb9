// Makes a span for the time that a request or message waited at API Gateway, SQS or EventBridge, by the event's own time.

"use strict";

// OpenObserve rejects spans older than five hours.
const LONGEST_MS = 4 * 60 * 60 * 1000;

/// The span is below the invocation's, although it begins earlier: as its parent, it would hide the caller from service maps.
function wait(tracer, event, batch, context) {
  const now = Date.now();
  const began = receivedAt(event, batch);
  if (!(now - began >= 0 && now - began <= LONGEST_MS)) return;
  const attributes = { "lambda_otlp.inferred": true };
  tracer.startSpan(`${batch?.source ?? "HTTP"} wait`, { startTime: new Date(began), attributes }, context).end(new Date(now));
}

/// Milliseconds since the Unix epoch; not finite if the event has no time.
function receivedAt(event, batch) {
  switch (batch?.attributes["messaging.system"]) {
    case undefined:
      return milliseconds(event?.requestContext?.timeEpoch ?? event?.requestContext?.requestTimeEpoch);
    case "aws_sqs":
      return event.Records.reduce((oldest, record) => {
        const sent = milliseconds(record?.attributes?.SentTimestamp);
        return sent < oldest ? sent : oldest;
      }, Infinity);
    case "aws_eventbridge":
      return typeof event.time === "string" ? Date.parse(event.time) : Number.NaN;
    default:
      return Number.NaN;
  }
}

/// Not a number for other values than a number and its text: an object may be impossible to convert.
function milliseconds(value) {
  return typeof value === "number" || typeof value === "string" ? Number.parseFloat(value) : Number.NaN;
}

module.exports = { wait };
