// Prints the attributes and the senders that the layer's messages.cjs finds in events, and the waiting time that waiting.cjs finds. The
// argument is their folder.

"use strict";

const { messages } = require(`${process.argv[2]}/messages.cjs`);
const { wait } = require(`${process.argv[2]}/waiting.cjs`);

// Mimics OpenTelemetry's API and the W3C propagator.
const api = {
  ROOT_CONTEXT: undefined,
  propagation: { extract: (_context, carrier) => carrier },
  trace: { getSpanContext: ({ traceparent }) => traceparent && { spanId: traceparent } },
  isSpanContextValid: ({ spanId }) => spanId !== "invalid",
};

function check(name, event) {
  const { trigger, name: span, attributes = {}, links = [] } = messages(api, event) ?? {};
  const senders = links.map(({ context, attributes }) => `${context.spanId} of ${attributes["messaging.message.id"]}`);
  console.log(`${name}: ${trigger} "${span}" ${JSON.stringify(attributes)} ${senders.length > 4 ? senders.length : senders.join(", ")}`);
}

const arn = "arn:aws:sqs:eu-west-1:123456789012:orders";
const queued = (messageId, stringValue, more) => ({
  eventSource: "aws:sqs",
  eventSourceARN: arn,
  messageId,
  messageAttributes: { traceparent: { dataType: "String", stringValue } },
  ...more,
});
const topic = { TopicArn: "arn:aws:sns:eu-west-1:123456789012:news", MessageId: "n" };
const MessageAttributes = { traceparent: { Type: "String", Value: "c" } };

check("a batch of two", { Records: [queued("m1", "a"), queued("m2", "b")] });
check("two messages of one sender", { Records: [queued("m1", "a"), queued("m2", "a")] });
check("one message", { Records: [queued("m1", "a")] });
check("a notification in a queue", { Records: [queued("m1", undefined, { body: JSON.stringify({ ...topic, MessageAttributes }) })] });
check("a notification", { Records: [{ EventSource: "aws:sns", Sns: { ...topic, MessageAttributes } }] });
check("a notification without attributes", { Records: [{ EventSource: "aws:sns", Sns: topic }] });
check("odd messages", { Records: [queued(5, 5, { body: "traceparent" }), null, queued("m3", "invalid"), queued("m4", "d", { eventSourceARN: 5 })] });
check("a large batch", { Records: Array.from({ length: 200 }, () => queued("m", "a")) });
const record = (number) => ({ eventSource: "aws:kinesis", eventSourceARN: "arn:aws:kinesis:eu-west-1:1:stream/clicks", eventID: `shard:${number}` });
check("a stream", { Records: [record(1), record(2)] });
const bytes = [...Buffer.from("e")];
check("kafka", { eventSource: "SelfManagedKafka", records: { "views-0": [{ topic: "views", headers: [{ traceparent: bytes }] }, { topic: "views", headers: 5 }] } });
check("odd kafka", { eventSource: "aws:kafka", records: { "views-0": [{ topic: "views", headers: [{ traceparent: [{ toString: 1 }] }] }] } });
check("a bucket", { Records: [{ eventSource: "aws:s3", s3: { bucket: { name: "uploads" } } }] });
check("a bus", { source: "shop.orders", "detail-type": "Order", id: "e1", detail: { headers: { traceparent: "f" } } });
check("a schedule", { source: "aws.events", "detail-type": "Scheduled Event" });
check("an unknown source", { Records: [{ eventSource: "constructor" }] });
for (const event of [{ Records: [null] }, { Records: 5 }, { Records: [] }, null, 5]) check(JSON.stringify(event), event);

const now = Date.now();

function checkWait(name, event) {
  let told = "none";
  const end = (name, startTime) => (time) => (told = `${name}, ${time >= startTime ? now - startTime : "ends before it begins"} ms`);
  const tracer = { startSpan: (name, { startTime }) => ({ end: end(name, startTime) }) };
  wait(tracer, event, messages(api, event));
  console.log(`wait, ${name}: ${told}`);
}

const sent = (...times) => ({ Records: times.map((time) => queued("m", "a", { attributes: { SentTimestamp: time } })) });
const requested = (timeEpoch) => ({ requestContext: { timeEpoch } });
const published = (time) => ({ source: "shop", "detail-type": "Order", time });
const unconvertible = { toString: 1, valueOf: 2 };
checkWait("a batch", sent(...[3, 9, 1].map((seconds) => String(now - seconds * 1000))));
checkWait("a batch with odd times", sent(unconvertible, "", "x", undefined, null, String(now - 1000)));
checkWait("a request", requested(now - 1000));
checkWait("an event", published(new Date(now - 1000).toISOString()));
for (const time of [unconvertible, [], null, "x", -1, 1e300, Infinity, now + 1e6, now - 1e9]) {
  checkWait(`a request at ${typeof time}`, requested(time));
  checkWait(`an event at ${typeof time}`, published(time));
}
