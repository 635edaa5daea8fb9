// A caller's decision against spans holds for all spans of the invocation, also the extension's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run, target, task } from "./local_lambda.mjs";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const request = (flags) => ({
  headers: { traceparent: `00-${TRACE}-b7ad6b7169203331-${flags}` },
  httpMethod: "GET",
  path: "/x",
  requestContext: { stage: "p" },
});

test("an unsampled invocation has no span", async () => {
  const server = await target();
  const text = `exports.handler = async () => (await fetch("${server.url}/")).status;`;
  const ran = await run(task({ "index.js": text }), [request("01"), request("00"), {}]);
  server.close();
  assert.deepEqual(ran.results, [200, 200, 200]);
  assert.equal(ran.spans.filter((span) => span.traceId === TRACE).length, 3, ran.text);
  assert.deepEqual(ran.spans.map((span) => span.kind).sort(), ["CLIENT", "CLIENT", "INTERNAL", "INTERNAL", "SERVER", "SERVER"]);
  assert.deepEqual(
    server.seen.map(({ headers }) => headers.traceparent.at(-1) & 1),
    [1, 0, 1],
  );
});
