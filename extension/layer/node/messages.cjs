// Describes the messages in an event for the CONSUMER span below the invocation's span, with links to the spans that sent them. The Rust
// library and the Python layer read the same events: tests/fixtures/triggers.
//
// Source: OpenTelemetry's semantic conventions, "Messaging spans" and "AWS Lambda"; exporter/src/handler/trigger.

"use strict";

// The maximum number of links of a span (OpenTelemetry SDK, `LinkCountLimit`); a batch may have 10,000 messages.
const MOST_LINKS = 128;
const MOST_HEADER_BYTES = 8192;
const MOST_BODY_BYTES = 256 * 1024;

// For each source: its system, and readers of a message's id, destination, headers and body. `list` is the event's key of the messages.
const SOURCES = new Map([
  ["aws:sqs", {
    system: "aws_sqs", id: (it) => it.messageId, destination: (it) => it.eventSourceARN, headers: (it) => [it.messageAttributes, it.attributes], body: (it) => it.body,
  }],
  ["aws:sns", {
    system: "aws.sns", id: (it) => it.Sns?.MessageId, destination: (it) => it.Sns?.TopicArn, headers: (it) => [it.Sns?.MessageAttributes], body: (it) => it.Sns?.Message, isParent: true,
  }],
  ["aws:kinesis", { system: "aws_kinesis", id: (it) => it.eventID, destination: (it) => it.eventSourceARN, body: (it) => ofBase64(it.kinesis?.data) }],
  ["aws:ses", { system: "aws_ses", id: (it) => it.ses?.mail?.messageId, destination: (it) => it.eventSourceARN }],
  ["aws:s3", { system: "aws_s3", destination: (it) => it.s3?.bucket?.name, trigger: "datasource" }],
  ["aws:kafka", { list: "records", system: "kafka", destination: (it) => it.topic, headers: (it) => [it.headers], body: (it) => ofBase64(it.value) }],
  ["aws:mq", {
    list: "messages", system: "activemq", id: (it) => it.messageID, destination: (it) => it.destination?.physicalName, headers: (it) => [it.properties], body: (it) => ofBase64(it.data),
  }],
  ["aws:rmq", {
    list: "rmqMessagesByQueue", system: "rabbitmq", id: (it) => it.basicProperties?.messageId, destination: (it, queue) => queue, headers: (it) => [it.basicProperties?.headers],
    body: (it) => ofBase64(it.data),
  }],
  ["aws:firehose", { list: "records", system: "aws_firehose", id: (it) => it.recordId, destination: (it, key, event) => event.deliveryStreamArn, body: (it) => ofBase64(it.data) }],
]);
const BUS = { system: "aws_eventbridge", id: (it) => it.id, destination: (it) => it.source, isParent: true };

/// Returns the trigger and the source of the invocation, and the name, attributes and links of the span of its messages. Returns
/// `undefined` for an event without messages.
function messages(api, event) {
  const { kind, records } = batch(event);
  if (kind === undefined) return undefined;
  const links = kind.isParent ? [] : linksOf(api, kind, records);
  const [{ destination: first }] = records;
  const isOneSource = typeof first === "string" && records.every(({ destination }) => destination === first);
  const destination = isOneSource && first !== "" ? lastPart(first) : undefined;
  const attributes = {
    "messaging.system": kind.system,
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    ...text("messaging.destination.name", destination),
    ...(records.length === 1 ? ofMessage(kind, records[0].record) : { "messaging.batch.message_count": records.length }),
  };
  const source = destination ?? "multiple_sources";
  return { trigger: kind.trigger ?? "pubsub", source, name: `${source} process`, attributes, links };
}

function linksOf(api, kind, records) {
  const links = [];
  for (const [at, { record }] of records.entries()) {
    if (links.length >= MOST_LINKS || (at >= MOST_LINKS && links.length === 0)) break;
    const context = contextOf(api, sender(api, kind, record));
    if (context !== undefined) links.push({ context, attributes: ofMessage(kind, record) });
  }
  return links;
}

/// Returns the attributes that identify a message. Kafka's records have no id.
function ofMessage({ system, id }, record) {
  const { partition, offset } = record;
  return {
    ...text("messaging.message.id", id?.(record)),
    ...(system === "kafka" && Number.isInteger(partition) && { "messaging.destination.partition.id": String(partition) }),
    ...(system === "kafka" && Number.isInteger(offset) && { "messaging.kafka.offset": offset }),
  };
}

/// Returns the messages of an event with their destinations, and the kind of their source.
function batch(event) {
  const list = Array.isArray(event) ? event : event?.Records;
  if (Array.isArray(list)) {
    const kind = SOURCES.get(list[0]?.eventSource ?? list[0]?.EventSource);
    return { kind, records: list.map((record) => withDestination(kind, record)) };
  }
  if (isOfBus(event)) return { kind: isScheduled(event) ? undefined : BUS, records: [withDestination(BUS, event)] };
  const name = event?.deliveryStreamArn !== undefined ? "aws:firehose" : event?.eventSource;
  const kind = SOURCES.get(name === "SelfManagedKafka" ? "aws:kafka" : name);
  const lists = kind?.list === undefined ? {} : event[kind.list];
  const entries = Array.isArray(lists) ? [["", lists]] : Object.entries(lists ?? {});
  const records = entries.filter(([, each]) => Array.isArray(each)).flatMap(([key, each]) => {
    return each.map((record) => withDestination(kind, record, key.split("::")[0], event));
  });
  return records.length > 0 ? { kind, records } : { kind: undefined, records };
}

function withDestination(kind, value, key, event) {
  const record = typeof value === "object" && value !== null ? value : {};
  return { record, destination: kind?.destination?.(record, key, event) };
}

function isOfBus(event) {
  return typeof event?.source === "string" && event["detail-type"] !== undefined;
}

function isScheduled(event) {
  return isOfBus(event) && (event.source === "aws.events" || event.source === "aws.scheduler");
}

function isOfAppSync(event) {
  const info = (Array.isArray(event) ? event[0] : event)?.info;
  return typeof info?.fieldName === "string" && typeof info.parentTypeName === "string";
}

/// Returns the headers with an invocation's parent: of a notification, of an event of a bus, or of a request to AppSync.
function parentHeaders(api, event) {
  const { kind, records } = batch(event);
  if (kind === BUS) return ofJson(event.detail);
  if (kind !== undefined) return kind.isParent ? sender(api, kind, records[0].record) : {};
  const found = (Array.isArray(event) ? event[0] : event)?.request?.headers;
  if (typeof found !== "object" || found === null) return {};
  return Object.fromEntries(Object.entries(found).filter(([, value]) => typeof value === "string").map(([name, value]) => [name.toLowerCase(), value]));
}

/// Returns `orders` for `arn:aws:sqs:region:account:orders` and for `arn:aws:kinesis:region:account:stream/orders`.
function lastPart(source) {
  return source.startsWith("arn:") ? source.split(/[:/]/).pop() : source;
}

/// Returns the headers of a message's sender: its own, or else those in its body, or else X-Ray's.
function sender(api, { headers, body }, record) {
  const places = headers?.(record) ?? [];
  const find = (name) => places.map((place) => headerIn(place, name)).find((value) => value !== undefined);
  const own = carrier(find);
  if (contextOf(api, own) !== undefined) return own;
  const ofContent = ofBody(body?.(record));
  if (contextOf(api, ofContent) !== undefined) return ofContent;
  const xray = find("AWSTraceHeader");
  return xray === undefined ? {} : { "x-amzn-trace-id": xray };
}

function contextOf(api, found) {
  const context = found["x-amzn-trace-id"] === undefined
    ? api.trace.getSpanContext(api.propagation.extract(api.ROOT_CONTEXT, found))
    : ofXRay(found["x-amzn-trace-id"]);
  return context !== undefined && api.isSpanContextValid(context) ? context : undefined;
}

function ofXRay(header) {
  const fields = Object.fromEntries(header.split(";").map((field) => field.trim().split("=")));
  const [, time, rest] = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/.exec(fields.Root) ?? [];
  if (time === undefined) return undefined;
  return { traceId: time + rest, spanId: String(fields.Parent), traceFlags: fields.Sampled === "1" ? 1 : 0, isRemote: true };
}

/// Returns W3C's headers in the JSON of a body, also within the envelopes of Amazon SNS and EventBridge.
function ofBody(body) {
  // Few messages contain a trace context. The others are not parsed.
  if (typeof body !== "string" || body.length > MOST_BODY_BYTES || !body.includes("traceparent")) return {};
  let message;
  try {
    message = JSON.parse(body);
  } catch {
    return {};
  }
  const found = [() => carrier((name) => headerIn(message?.MessageAttributes, name)), () => ofBody(message?.Message), () => ofJson(message?.detail), () => ofJson(message)];
  for (const read of found) {
    const headers = read();
    if (Object.keys(headers).length > 0) return headers;
  }
  return {};
}

/// Returns W3C's headers in a JSON object: under `headers`, under `_datadog`, or at its top level.
function ofJson(value) {
  const place = [value?.headers, value?._datadog, value].find((each) => each?.traceparent !== undefined);
  return carrier((name) => headerIn(place, name));
}

/// Returns a header in a map, or the last one in Kafka's list of maps. Its value is text, bytes, or an object with one of them.
function headerIn(headers, name) {
  let value = (Array.isArray(headers) ? headers.findLast((header) => header?.[name] !== undefined) : headers)?.[name];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) value = value.stringValue ?? value.Value ?? value.bytes;
  // Lambda writes signed integers.
  if (Array.isArray(value) && value.length <= MOST_HEADER_BYTES && value.every(Number.isInteger)) value = Buffer.from(value).toString();
  return typeof value === "string" && value.length <= MOST_HEADER_BYTES ? value : undefined;
}

function ofBase64(body) {
  return typeof body === "string" && (body.length / 4) * 3 <= MOST_BODY_BYTES ? Buffer.from(body, "base64").toString() : undefined;
}

function carrier(value) {
  const pairs = ["traceparent", "tracestate", "baggage"].map((name) => [name, value(name)]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

function text(name, value) {
  return typeof value === "string" && value !== "" ? { [name]: value } : {};
}

module.exports = { isOfAppSync, isScheduled, messages, parentHeaders };
