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
  for (const [number, { server, consumer, differs }] of cases.entries()) {
    await context.test(names[number], () => {
      const expected = { server, consumer, ...differs?.node };
      const attributes = Object.fromEntries(
        Object.entries(servers[number].attributes).filter(([name]) => !OF_INVOCATION.includes(name)),
      );
      const child = ran.kind("CONSUMER").find((span) => span.parentSpanId === servers[number].spanId);
      const parent = servers[number].parentSpanId
        ? { traceId: servers[number].traceId, spanId: servers[number].parentSpanId }
        : null;
      assert.deepEqual(
        { ...described(servers[number], attributes), parent },
        { ...expected.server, attributes: { ...OF_FUNCTION, ...expected.server.attributes } },
      );
      assert.deepEqual(child === undefined ? null : described(child, child.attributes), expected.consumer);
    });
  }
});

function described({ name, kind, status, links }, attributes) {
  return {
    name: name === "shop" ? "<function>" : name,
    kind,
    status: { code: status?.code === 2 ? "ERROR" : "UNSET", message: status?.message ?? "" },
    attributes,
    links: links.map(({ traceId, spanId, attributes }) => ({ traceId, spanId, attributes })),
  };
}
