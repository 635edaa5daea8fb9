// A function's calls are sent as without the layer, except for the trace context.

import assert from "node:assert/strict";
import { test } from "node:test";
import { packages, run, target, task } from "./local_lambda.mjs";

const AWS = packages(["@aws-sdk/client-sqs@3.1169.0", "@aws-sdk/client-lambda@3.1164.0"]);

test("the input of a command of AWS's SDK may be frozen, and stays as it is", async () => {
  const text = `const { SQSClient, SendMessageCommand, SendMessageBatchCommand } = require("@aws-sdk/client-sqs");
  const { LambdaClient, InvokeCommand } = require("@aws-sdk/client-lambda");
  const options = { endpoint: process.env.TARGET, region: "eu-west-1", maxAttempts: 1, credentials: { accessKeyId: "a", secretAccessKey: "b" } };
  const frozen = (value) => {
    if (typeof value === "object") Object.values(value).forEach(frozen);
    return Object.freeze(value);
  };
  const own = { n: { DataType: "Number", StringValue: "1" } };
  const entry = { Id: "1", MessageBody: "m", MessageAttributes: own };
  const inputs = [
    [SQSClient, SendMessageCommand, { QueueUrl: process.env.TARGET + "/1/orders", MessageBody: "m", MessageAttributes: own }],
    [SQSClient, SendMessageCommand, { QueueUrl: process.env.TARGET + "/1/orders", MessageBody: "m" }],
    [SQSClient, SendMessageBatchCommand, { QueueUrl: process.env.TARGET + "/1/orders", Entries: [entry] }],
    [LambdaClient, InvokeCommand, { FunctionName: "shop", Payload: "{}" }],
  ];
  exports.handler = async () => {
    const before = JSON.stringify(inputs);
    for (const [Client, Command, input] of inputs) {
      // The target's answer is none of AWS's.
      await new Client(options).send(new Command(input)).catch(() => {});
      await new Client(options).send(new Command(frozen(input))).catch(() => {});
    }
    return before === JSON.stringify(inputs);
  };`;
  const server = await target();
  const ran = await run(task({ "index.js": text }, AWS), [{}], { env: { TARGET: server.url } });
  server.close();
  assert.deepEqual(ran.results, [true], ran.text);
  assert.equal(server.seen.length, 8, ran.text);
  assert.equal(ran.spans.filter((span) => span.scope.endsWith("instrumentation-aws-sdk")).length, 8, ran.text);
  for (const { body, headers } of server.seen) assert.match(body + atob(headers["x-amz-client-context"] ?? ""), /traceparent/);
});

test("a list of headers is sent as it is", async () => {
  const server = await target();
  const text = `exports.handler = () => new Promise((resolve) => {
    require("http").get("${server.url}/", { headers: ["Host", "shop", "X-Api-Key", "a", "X-Api-Key", "b"] }, (response) => response.resume().on("end", resolve));
  });`;
  const ran = await run(task({ "index.js": text }), [{}]);
  server.close();
  assert.equal(server.seen[0]?.headers["x-api-key"], "a, b", ran.text);
});
