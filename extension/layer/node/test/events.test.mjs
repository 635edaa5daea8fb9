// Limits and odd values of events, the time that an event waited, and X-Ray's headers. triggers.test.mjs has the usual events.

import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { clock } from "../originals.cjs";
import { describe, xray } from "../events.cjs";
import { durableOf } from "../executions.cjs";
import { recordWait } from "../waiting.cjs";

// Mimics OpenTelemetry's API and the W3C propagator.
const api = {
  ROOT_CONTEXT: undefined,
  propagation: { extract: (_context, carrier) => carrier },
  trace: { getSpanContext: ({ traceparent }) => traceparent && { spanId: traceparent } },
  isSpanContextValid: ({ spanId }) => spanId !== "invalid",
};

/// The system and the attributes of a span are those of `span`. A sender is "SPAN of MESSAGE".
function check(name, span, senders, event) {
  test(`messages: ${name}`, () => {
    const { trigger, messages: { source, attributes, links } = { links: [] } } = describe(api, event);
    const found = links.map(({ context, attributes }) => `${context.spanId} of ${attributes["messaging.message.id"]}`);
    assert.deepEqual([{ trigger, source, ...attributes }, found], [{ trigger: "other", source: undefined, ...span }, senders]);
  });
}

function processed(system, destination, more) {
  const attributes = {
    "messaging.system": system,
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    ...more,
  };
  if (destination !== undefined) attributes["messaging.destination.name"] = destination;
  return { trigger: "pubsub", source: destination ?? "multiple_sources", ...attributes };
}

const count = (count) => ({ "messaging.batch.message_count": count });

const arn = "arn:aws:sqs:eu-west-1:123456789012:orders";
const queued = (messageId, stringValue, more) => ({
  eventSource: "aws:sqs",
  eventSourceARN: arn,
  messageId,
  messageAttributes: { traceparent: { dataType: "String", stringValue } },
  ...more,
});

check("two messages of one sender", processed("aws_sqs", "orders", count(2)), ["a of m1", "a of m2"], {
  Records: [queued("m1", "a"), queued("m2", "a")],
});
check("odd messages", processed("aws_sqs", undefined, count(4)), ["d of m4"], {
  Records: [queued(5, 5, { body: "traceparent" }), null, queued("m3", "invalid"), queued("m4", "d", { eventSourceARN: 5 })],
});
check("a large batch", processed("aws_sqs", "orders", count(200)), Array(128).fill("a of m"), {
  Records: Array.from({ length: 200 }, () => queued("m", "a")),
});
check("odd kafka", processed("kafka", "views"), [], {
  eventSource: "aws:kafka",
  records: { "views-0": [{ topic: "views", headers: [{ traceparent: [{ toString: 1 }] }] }] },
});
check("an unknown source", undefined, [], { Records: [{ eventSource: "constructor" }] });
for (const event of [{ Records: [null] }, { Records: 5 }, { Records: [] }, null, 5])
  check(JSON.stringify(event), undefined, [], event);

const now = 1_790_000_000_000;

function checkWait(name, expected, event) {
  test(`waiting time: ${name}`, (t) => {
    t.mock.method(clock, "now", () => now);
    const waited = [];
    const tracer = {
      startSpan: (name, { startTime }) => ({ end: (time) => waited.push(time >= startTime && `${name}, ${now - startTime} ms`) }),
    };
    recordWait(tracer, describe(api, event));
    assert.deepEqual(waited, expected);
  });
}

const sent = (...times) => ({ Records: times.map((time) => queued("m", "a", { attributes: { SentTimestamp: time } })) });
const requested = (timeEpoch) => ({ requestContext: { http: { method: "GET" }, timeEpoch } });
const published = (time) => ({ source: "shop", "detail-type": "Order", time });
const unconvertible = { toString: 1, valueOf: 2 };
checkWait("a batch", ["orders wait, 9000 ms"], sent(...[3, 9, 1].map((seconds) => String(now - seconds * 1000))));
checkWait("a batch with odd times", ["orders wait, 1000 ms"], sent(unconvertible, "", "x", undefined, null, String(now - 1000)));
checkWait("a batch of a pipe", ["orders wait, 9000 ms"], sent(String(now - 9000)).Records);
checkWait("a request", ["HTTP wait, 1000 ms"], requested(now - 1000));
checkWait("an event", ["shop wait, 1000 ms"], published(new Date(now - 1000).toISOString()));
// Times of which no span can be made.
for (const time of [unconvertible, [], null, "x", -1, 1e300, Infinity, now + 1e6, now - 1e9]) {
  checkWait(`a request at ${JSON.stringify(time)}`, [], requested(time));
  checkWait(`an event at ${JSON.stringify(time)}`, [], published(time));
}

const FIXTURES = new URL("../../../../tests/fixtures/", import.meta.url);

test("events were received at the times of the fixtures", () => {
  const folder = new URL("triggers/", FIXTURES);
  for (const name of fs.readdirSync(folder)) {
    const { event, received_ms: expected } = JSON.parse(fs.readFileSync(new URL(name, folder)));
    const lambda = { functionName: "shop", invokedFunctionArn: "arn:aws:lambda:us-east-1:123456789012:function:shop" };
    const execution = durableOf(event, lambda);
    assert.equal(describe(api, execution === undefined ? event : execution.input).receivedMs ?? null, expected, name);
  }
});

test("X-Ray's headers are read as in the fixture", () => {
  const rows = JSON.parse(fs.readFileSync(new URL("xray-headers.json", FIXTURES)));
  for (const { header, ...expected } of rows) {
    const { traceId = null, parentId = null, isSampled: sampled = null } = xray(header);
    assert.deepEqual({ traceId, parentId, sampled }, expected, header);
  }
});
