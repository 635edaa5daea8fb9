// An event gives the spans of tests/fixtures/triggers, which the Rust library and the Python layer read too. The variable
// TRIGGER_FIXTURES names another folder.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { run, task } from "./local_lambda.mjs";

const FOLDER = process.env.TRIGGER_FIXTURES ?? fileURLToPath(new URL("../../../../tests/fixtures/triggers/", import.meta.url));
const ARN = "arn:aws:lambda:us-east-1:123456789012:function:shop";
const OF_FUNCTION = { "aws.lambda.invoked_arn": ARN, "cloud.resource_id": ARN, "cloud.account.id": "123456789012" };
// Attributes with values that differ between invocations.
const OF_INVOCATION = ["faas.invocation_id", "faas.coldstart", "aws.xray.parent_id"];

test("events give the spans of the fixtures", async (context) => {
  const names = fs.readdirSync(FOLDER).sort();
  const cases = names.map((name) => JSON.parse(fs.readFileSync(path.join(FOLDER, name))));
  const text = `const results = ${JSON.stringify(cases.map(({ result }) => result ?? null))}; exports.handler = async () => results.shift();`;
  const ran = await run(
    task({ "index.js": text }),
    cases.map(({ event }) => event),
  );
  const servers = ran.kind("SERVER").sort((a, b) => (BigInt(a.startTimeUnixNano) < BigInt(b.startTimeUnixNano) ? -1 : 1));
  assert.equal(servers.length, cases.length, ran.text);
  assert.deepEqual(
    servers.map(({ attributes }) => attributes["faas.coldstart"]),
    cases.map((_, number) => number === 0),
  );
  assert.equal(new Set(servers.map(({ attributes }) => attributes["faas.invocation_id"])).size, cases.length);
  for (const { attributes } of servers) assert.match(attributes["aws.xray.parent_id"], /^[0-9a-f]{16}$/);
  const executions = ran.spans.filter(({ name }) => name === "shop execution");
  for (const [number, { server, consumer, execution = null, differs }] of cases.entries()) {
    await context.test(names[number], () => {
      const expected = { server, consumer, execution, ...differs?.node };
      const child = ran.kind("CONSUMER").find((span) => span.parentSpanId === servers[number].spanId);
      assert.deepEqual(describedServer(servers[number]), {
        ...expected.server,
        attributes: { ...OF_FUNCTION, ...expected.server.attributes },
      });
      assert.deepEqual(child === undefined ? null : described(child, child.attributes), expected.consumer);
      if (execution !== null) assert.deepEqual(describedExecution(executions.shift()), execution);
    });
  }
  assert.deepEqual(executions, []);
});

test("an event that starts an execution gives the same spans as alone", async () => {
  const names = fs.readdirSync(FOLDER).filter((name) => !name.includes("durable"));
  const inputs = names.map((name) => JSON.parse(fs.readFileSync(path.join(FOLDER, name))).event);
  const runs = [];
  for (const events of [inputs, inputs.map(envelope)]) {
    const ran = await run(task({ "index.js": "exports.handler = async () => null;" }), events);
    const servers = ran.kind("SERVER").sort((a, b) => (BigInt(a.startTimeUnixNano) < BigInt(b.startTimeUnixNano) ? -1 : 1));
    const consumers = servers.map(({ spanId }) => ran.kind("CONSUMER").find(({ parentSpanId }) => parentSpanId === spanId));
    runs.push({ servers: servers.map(describedServer), consumers });
  }
  const [alone, durable] = runs;
  for (const [number, name] of names.entries()) {
    const server = alone.servers[number];
    assert.deepEqual(withoutExecution(durable.servers[number], server), server, name);
    const [one, other] = [alone, durable].map(({ consumers }) => consumers[number]);
    assert.deepEqual(other && described(other, other.attributes), one && described(one, one.attributes), name);
  }
});

function envelope(event) {
  const first = { StartTimestamp: 1790000000123, ExecutionDetails: { InputPayload: JSON.stringify(event) } };
  const arn = `${ARN}:1/durable-execution/a/b`;
  return { DurableExecutionArn: arn, CheckpointToken: "t", InitialExecutionState: { Operations: [first] } };
}

/// Returns a span without what its execution adds.
function withoutExecution(server, alone) {
  const attributes = Object.entries(server.attributes).filter(([name]) => !name.includes("durable_execution"));
  assert.equal(Object.keys(server.attributes).length - attributes.length, 2);
  const own = { ...server, attributes: Object.fromEntries(attributes) };
  if (alone.parent === null) {
    assert.equal(server.parent.traceId, "6ab13b808d43016f1a6ad23646d69a6d");
    return { ...own, parent: null };
  }
  assert.deepEqual(
    server.links.map(({ traceId }) => traceId),
    [alone.parent.traceId],
  );
  return { ...own, links: [] };
}

function describedServer(server) {
  const attributes = Object.entries(server.attributes).filter(([name]) => !OF_INVOCATION.includes(name));
  return { ...described(server, Object.fromEntries(attributes)), parent: parentOf(server) };
}

function describedExecution(span) {
  const { traceId, spanId, startTimeUnixNano } = span;
  const startMs = Number(BigInt(startTimeUnixNano) / 1000000n);
  return { ...described(span, span.attributes), parent: parentOf(span), ids: { traceId, spanId }, start_ms: startMs };
}

function parentOf({ traceId, parentSpanId }) {
  return parentSpanId ? { traceId, spanId: parentSpanId } : null;
}

function described({ name, kind, status, links }, attributes) {
  return {
    name: name === "shop" ? "<function>" : name,
    kind,
    status: { code: status?.code === 2 ? "ERROR" : "UNSET", message: status?.message ?? "" },
    attributes,
    links: links.map(({ traceId, spanId, attributes }) => ({ traceId, spanId, attributes })),
  };
}
