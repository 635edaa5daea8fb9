// Describes the messages in an event for the CONSUMER span below the invocation's span, with links to the spans that sent them.
//
// Source: OpenTelemetry's semantic conventions, "Messaging spans" and "AWS Lambda"; exporter/src/handler/trigger/messages.rs.

"use strict";

// The maximum number of links of a span (OpenTelemetry SDK, `LinkCountLimit`); a batch may have 10,000 messages.
const MOST_LINKS = 128;

// For each source: the fields of a message with its queue, topic, stream or bucket, its id and its sender.
const SOURCES = new Map([
  ["aws:sqs", { system: "aws_sqs", source: (record) => record?.eventSourceARN, id: (record) => record?.messageId, sender: ofQueued }],
  ["aws:sns", { system: "aws.sns", source: (record) => record?.Sns?.TopicArn, id: (record) => record?.Sns?.MessageId, sender: (record) => ofNotification(record?.Sns) }],
  ["aws:kinesis", { system: "aws_kinesis", source: (record) => record?.eventSourceARN, id: (record) => record?.eventID }],
  ["aws:kafka", { system: "kafka", source: (record) => record?.topic, sender: ofKafka }],
  ["aws:s3", { system: "aws_s3", source: (record) => record?.s3?.bucket?.name, trigger: "datasource" }],
  ["bus", { system: "aws_eventbridge", source: (event) => event.source, id: (event) => event.id, sender: ofDetail }],
]);

/// Returns the trigger and the source of the invocation, and the name, attributes and links of the span of its messages. Returns
/// `undefined` for an event without messages.
function messages(api, event) {
  const { name, records } = batch(event);
  const kind = SOURCES.get(name);
  if (kind === undefined) return undefined;
  const { system, source, id = () => undefined, sender = () => ({}), trigger = "pubsub" } = kind;
  const links = records.slice(0, MOST_LINKS).flatMap((record) => {
    const context = api.trace.getSpanContext(api.propagation.extract(api.ROOT_CONTEXT, sender(record)));
    if (context === undefined || !api.isSpanContextValid(context)) return [];
    return [{ context, attributes: text("messaging.message.id", id(record)) }];
  });
  const first = source(records[0]);
  const isOneSource = typeof first === "string" && records.every((record) => source(record) === first);
  const destination = isOneSource ? lastPart(first) : undefined;
  const attributes = {
    "messaging.system": system,
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    ...text("messaging.destination.name", destination),
    ...(records.length === 1 ? text("messaging.message.id", id(records[0])) : { "messaging.batch.message_count": records.length }),
  };
  return { trigger, source: destination ?? "multiple_sources", name: `${destination ?? "multiple_sources"} process`, attributes, links };
}

/// Returns the messages of an event, and the name of their source.
function batch(event) {
  if (Array.isArray(event?.Records)) {
    const { Records: records } = event;
    return { name: records[0]?.eventSource ?? records[0]?.EventSource, records };
  }
  if (event?.eventSource === "aws:kafka" || event?.eventSource === "SelfManagedKafka") {
    const lists = Object.values(event.records ?? {}).filter(Array.isArray);
    return { name: "aws:kafka", records: lists.flat() };
  }
  const isScheduled = event?.source === "aws.events" || event?.source === "aws.scheduler";
  const isOfBus = typeof event?.source === "string" && event["detail-type"] !== undefined && !isScheduled;
  return isOfBus ? { name: "bus", records: [event] } : { records: [] };
}

/// Returns `orders` for `arn:aws:sqs:region:account:orders` and for `arn:aws:kinesis:region:account:stream/orders`.
function lastPart(source) {
  return source.startsWith("arn:") ? source.split(/[:/]/).pop() : source;
}

function ofQueued(record) {
  const own = carrier((name) => record?.messageAttributes?.[name]?.stringValue);
  return own.traceparent === undefined ? ofEnvelope(record?.body) : own;
}

/// Reads Kafka's headers: a list of objects with bytes as values.
function ofKafka(record) {
  const headers = Array.isArray(record?.headers) ? record.headers : [];
  return carrier((name) => {
    const bytes = headers.findLast((header) => header?.[name] !== undefined)?.[name];
    return Array.isArray(bytes) && bytes.every(Number.isInteger) ? Buffer.from(bytes).toString() : undefined;
  });
}

/// Reads the sender in the detail of an event. The Rust library writes it under `headers`.
function ofDetail({ detail }) {
  return carrier((name) => detail?.headers?.[name] ?? detail?.[name]);
}

/// Reads the sender in the body of an SQS message. SNS writes the attributes of its own message there.
function ofEnvelope(body) {
  // Few messages contain a trace context. The others are not parsed.
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
