// Credentials are in no span: those of URLs, of headers, and of errors.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { packages, run, target, task } from "./local_lambda.mjs";

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

test("a text is masked", () => {
  const { mask } = createRequire(import.meta.url)("../secrets.cjs");
  const rows = fs
    .readFileSync(new URL("../../../../tests/fixtures/secrets.txt", import.meta.url), "utf8")
    .trim()
    .split("\n");
  for (const [text, masked] of rows.slice(1).map((row) => row.split(" => "))) assert.equal(mask(text), masked);
});

test("credentials in errors are masked", async () => {
  const text = `const { trace } = require("@opentelemetry/api");
  const URL = "http://127.0.0.1:59999/k?X-Amz-Signature=s3cret&key=s3cret";
  exports.handler = async () => {
    await fetch(URL).catch(() => {});
    await new Promise((resolve) => require("http").get(URL).on("error", resolve));
    const span = trace.getTracer("own").startSpan("own", { attributes: { note: "password=s3cret", list: ["https://a:s3cret@b/", "kept"] } });
    span.setStatus({ code: 2, message: "at " + URL });
    span.recordException(new Error("Authorization: Basic s3cret"));
    span.end();
    throw new RangeError(URL, { cause: new TypeError(JSON.stringify({ "x-api-key": "s3cret" })) });
  };`;
  const ran = await run(task({ "index.js": text }, packages(["@opentelemetry/api@1.9"])), [{}]);
  assert.equal(ran.kind("CLIENT").length, 2, ran.text);
  assert.match(JSON.stringify(ran.kind("SERVER")), /REDACTED/);
  assert.doesNotMatch(JSON.stringify(ran.spans), /s3cret/);
});
