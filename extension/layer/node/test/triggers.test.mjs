// An event gives the spans of tests/fixtures/triggers, which the Rust library and the Python layer read too.

import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { run, task } from "./local_lambda.mjs";

const FOLDER = new URL("../../../../tests/fixtures/triggers/", import.meta.url);
// Attributes of the invocation's span that all languages have.
const SHARED = ["faas.trigger", "http.response.status_code", "error.type", "aws.lambda.batch_item_failures"];

test("events give the spans of the fixtures", async (context) => {
  const names = fs.readdirSync(FOLDER).sort();
  const cases = names.map((name) => JSON.parse(fs.readFileSync(new URL(name, FOLDER))));
  const text = `const results = ${JSON.stringify(cases.map(({ result }) => result))}; exports.handler = async () => results.shift();`;
  const ran = await run(task({ "index.js": text }), cases.map(({ event }) => event));
  const roots = ran.kind("SERVER").sort((a, b) => (BigInt(a.startTimeUnixNano) < BigInt(b.startTimeUnixNano) ? -1 : 1));
  assert.equal(roots.length, cases.length, ran.text);
  for (const [at, { root, consumer }] of cases.entries()) {
    await context.test(names[at], () => {
      const found = ran.kind("CONSUMER").find((span) => span.parentSpanId === roots[at].spanId);
      assert.deepEqual(rootOf(roots[at]), root);
      assert.deepEqual(found === undefined ? null : consumerOf(found), consumer);
    });
  }
});

function rootOf({ kind, traceId, parentSpanId, status, attributes }) {
  const parent = parentSpanId ? { traceId, spanId: parentSpanId } : null;
  const shared = Object.fromEntries(Object.entries(attributes).filter(([name]) => SHARED.includes(name)));
  return { kind, parent, status: status?.code === 2 ? "ERROR" : "UNSET", attributes: shared };
}

function consumerOf({ name, kind, attributes, links }) {
  return { name, kind, attributes, links: links.map(({ traceId, spanId, attributes }) => ({ traceId, spanId, attributes })) };
}
