// Calls by AWS's SDK have the same spans in Node, Python and Rust: each row of tests/fixtures/aws-calls.jsonl is a call, its answer
// and its span.

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { test } from "node:test";
import { packages, run, task } from "./local_lambda.mjs";

const ROWS = fs
  .readFileSync(new URL("../../../../tests/fixtures/aws-calls.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));
const APP = `
const { NodeHttpHandler } = require("@smithy/node-http-handler");
exports.handler = async ({ client, node = client, operation, input }) => {
  const sdk = require("@aws-sdk/client-" + node);
  const Client = Object.values(sdk).find(({ name, prototype }) => /\\wClient$/.test(name) && prototype?.send);
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  // Some clients would use HTTP/2.
  const options = { region: "eu-west-1", maxAttempts: 1, forcePathStyle: true, requestHandler: new NodeHttpHandler(), credentials };
  const own = new Client({ endpoint: process.env.TARGET, ...options });
  const bytes = JSON.parse(JSON.stringify(input), (name, value) => (["Data", "Payload"].includes(name) ? Buffer.from(value) : value));
  try {
    await own.send(new sdk[operation + "Command"](bytes));
  } catch (error) {
    return error.name === "Error" ? error.stack : error.name;
  }
};`;

test("calls are described as in Python and Rust", async () => {
  const answers = ROWS.map(({ answer }) => answer);
  const server = http.createServer(async (request, response) => {
    for await (const _ of request);
    const { body, headers, status } = answers.shift();
    response.writeHead(status, headers).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  const names = [...new Set(ROWS.map(({ client, node = client }) => node))];
  const modules = packages(names.map((name) => `@aws-sdk/client-${name}@3`));
  const env = { TARGET: `http://127.0.0.1:${port}` };
  const ran = await run(task({ "index.js": APP }, modules), ROWS, { env, timeout: "60s" });
  server.closeAllConnections();
  server.close();
  assert.deepEqual(
    ran.results,
    ROWS.map(({ answered }) => answered["error.type"] ?? null),
    ran.text,
  );
  const spans = ran.spans.filter(({ attributes }) => attributes["rpc.system"] !== undefined);
  assert.equal(spans.length, ROWS.length, ran.text);
  ROWS.forEach((row, index) => {
    const { attributes, kind, name } = spans[index];
    const call = { "rpc.system": "aws-api", "rpc.service": row.service, "rpc.method": row.operation };
    const server = { "cloud.region": "eu-west-1", "server.address": "127.0.0.1", "server.port": port };
    const expected = { ...call, ...server, ...row.attributes, ...row.answered, ...row.layer };
    assert.deepEqual({ name, kind, attributes }, { name: row.name, kind: row.kind, attributes: expected });
  });
  assert.doesNotMatch(JSON.stringify(spans), /lambda-otlp\/node|geheim/);
});
