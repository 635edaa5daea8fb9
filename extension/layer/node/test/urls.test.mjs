// Values in URLs that grant access are in no span.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run, target, task } from "./local_lambda.mjs";

const SECRETS = [
  "X-Amz-Signature",
  "X-Amz-Security-Token",
  "X-Amz-Credential",
  "X-Goog-Signature",
  "AWSAccessKeyId",
  "Signature",
  "sig",
  "x-amz-signature",
  "access_token",
];

test("credentials in URLs are masked", async () => {
  const server = await target();
  const path = `/a?kept=1&${SECRETS.map((name) => `${name}=s3cret%2F`).join("&")}&last=2`;
  const text = `exports.handler = async (event) => {
    await fetch("${server.url}${path}").then((response) => response.text());
    await new Promise((resolve) => require("http").get("${server.url}${path}", (response) => response.resume().on("end", resolve)));
  };`;
  const ran = await run(task({ "index.js": text }), [{}]);
  server.close();
  assert.deepEqual(
    server.seen.map(({ path }) => path),
    [path, path],
  );
  assert.equal(ran.kind("CLIENT").length, 2, ran.text);
  for (const { attributes } of ran.kind("CLIENT")) assert.match(JSON.stringify(attributes), /kept=1.*last=2/);
  assert.doesNotMatch(JSON.stringify(ran.spans), /s3cret/);
});
