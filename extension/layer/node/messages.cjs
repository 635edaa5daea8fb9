// Describes the messages of Amazon SQS and Amazon SNS in an event, and links to the spans that sent them.
//
// Source: OpenTelemetry's semantic conventions, "Messaging spans" and "AWS Lambda"; exporter/src/handler/trigger/messages.rs.

"use strict";

// The maximum number of links of a span (OpenTelemetry SDK, `LinkCountLimit`); a batch may have 10,000 messages.
const MOST_LINKS = 128;

/// Returns attributes and links for the span of an invocation.
function messages(api, event) {
  const records = Array.isArray(event?.Records) ? event.Records : [];
  const found = records[0]?.eventSource === "aws:sqs" ? ofQueue(records) : ofTopic(records);
  if (found === undefined) return {};
  const { system, sources, ids, carriers } = found;
  const links = carriers.flatMap((carrier, at) => {
    const context = api.trace.getSpanContext(api.propagation.extract(api.ROOT_CONTEXT, carrier));
    if (context === undefined || !api.isSpanContextValid(context)) return [];
    return [{ context, attributes: text("messaging.message.id", ids[at]) }];
  });
  const isOneSource = typeof sources[0] === "string" && sources.every((source) => source === sources[0]);
  const attributes = {
    "faas.trigger": "pubsub",
    "messaging.system": system,
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    ...(isOneSource && { "messaging.destination.name": sources[0].split(":").pop() }),
    ...(records.length === 1 ? text("messaging.message.id", ids[0]) : { "messaging.batch.message_count": records.length }),
  };
  return { attributes, links };
}

function ofQueue(records) {
  return {
    system: "aws_sqs",
    sources: records.map((record) => record?.eventSourceARN),
    ids: records.map((record) => record?.messageId),
    carriers: records.slice(0, MOST_LINKS).map((record) => {
      const own = carrier((name) => record?.messageAttributes?.[name]?.stringValue);
      return own.traceparent === undefined ? ofEnvelope(record?.body) : own;
    }),
  };
}

function ofTopic(records) {
  if (records[0]?.EventSource !== "aws:sns") return undefined;
  return {
    system: "aws.sns",
    sources: records.map((record) => record?.Sns?.TopicArn),
    ids: records.map((record) => record?.Sns?.MessageId),
    carriers: records.slice(0, MOST_LINKS).map((record) => ofNotification(record?.Sns)),
  };
}

/// A topic puts the attributes of its message into the body of the queue's message.
function ofEnvelope(body) {
  // Few messages contain them; the others are not parsed.
  if (typeof body !== "string" || !body.includes("traceparent")) return {};
  try {
    return ofNotification(JSON.parse(body));
  } catch {
    return {};
  }
}

function ofNotification(notification) {
  return carrier((name) => notification?.MessageAttributes?.[name]?.Value);
}

function carrier(value) {
  const pairs = ["traceparent", "tracestate"].map((name) => [name, value(name)]);
  return Object.fromEntries(pairs.filter(([, value]) => typeof value === "string"));
}

function text(name, value) {
  return typeof value === "string" ? { [name]: value } : {};
}

module.exports = { messages };
