// Spans that the extension does not accept in time are counted in a line.

import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { run, task } from "./local_lambda.mjs";

test("spans that wait are counted", async () => {
  const silent = net.createServer(() => {});
  await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${silent.address().port}`, OTEL_LAMBDA_RECEIVER_PORT: "0" };
  const ran = await run(task({ "index.js": "exports.handler = async () => 1;" }), [{}, {}, {}], { env });
  silent.close();
  assert.deepEqual(ran.results, [1, 1, 1]);
  assert.equal(ran.text.match(/has not accepted 1 spans in time/g)?.length, 1, ran.text);
});
