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

test("a batch of other values than objects is left to AWS's SDK", async () => {
  const text = `const { SQSClient, SendMessageBatchCommand } = require("@aws-sdk/client-sqs");
  const options = { endpoint: process.env.TARGET, region: "eu-west-1", maxAttempts: 1, credentials: { accessKeyId: "a", secretAccessKey: "b" } };
  exports.handler = async () => {
    const client = new SQSClient(options);
    const send = (Entries) => client.send(new SendMessageBatchCommand({ QueueUrl: process.env.TARGET + "/1/orders", Entries })).then(() => "sent", ({ name }) => name);
    return [await send([null]), await send(["a", 4]), await send([undefined, { Id: "1", MessageBody: "m" }])];
  };`;
  const server = await target();
  const folder = task({ "index.js": text }, AWS);
  const env = { TARGET: server.url };
  const [without, ran] = [await run(folder, [{}], { env, wrapper: false }), await run(folder, [{}], { env })];
  server.close();
  assert.deepEqual(ran.results, without.results, ran.text);
  const bodies = server.seen.map(({ body }) => body);
  assert.deepEqual(bodies.slice(bodies.length / 2), bodies.slice(0, bodies.length / 2));
  assert.equal(ran.kind("SERVER").length, 1, ran.text);
});

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64");
const OWN = { custom: { traceparent: "own", a: 1 } };
// The input of an Invoke call, and the client context that is sent, without the value of the trace context.
const CONTEXTS = [
  [{}, { custom: { traceparent: true } }],
  [{ InvocationType: "Event" }, undefined],
  [{ ClientContext: encoded(OWN) }, OWN],
  [{ ClientContext: encoded({ custom: { a: 1 }, b: 2 }) }, { custom: { traceparent: true, a: 1 }, b: 2 }],
  [{ ClientContext: encoded(5) }, 5],
  [{ ClientContext: encoded({ custom: "x" }) }, { custom: "x" }],
  [{ ClientContext: encoded({ a: "x".repeat(2600) }) }, { a: "x".repeat(2600) }],
];

test("a client context keeps what the function has stated", async () => {
  const text = `const { LambdaClient, InvokeCommand } = require("@aws-sdk/client-lambda");
  const options = { endpoint: process.env.TARGET, region: "eu-west-1", maxAttempts: 1, credentials: { accessKeyId: "a", secretAccessKey: "b" } };
  exports.handler = (input) => new LambdaClient(options).send(new InvokeCommand({ FunctionName: "shop", ...input })).then(() => 1, () => 1);`;
  const server = await target();
  const inputs = CONTEXTS.map(([input]) => input);
  const ran = await run(task({ "index.js": text }, AWS), inputs, { env: { TARGET: server.url } });
  server.close();
  const sent = server.seen.map(({ headers: { "x-amz-client-context": context } }) => {
    const content = context && JSON.parse(atob(context));
    if (content?.custom?.traceparent?.startsWith("00-")) content.custom.traceparent = true;
    return content;
  });
  assert.deepEqual(
    sent,
    CONTEXTS.map(([, expected]) => expected),
    ran.text,
  );
});

// A package that loads a deprecated module of Node, of which Node (21 and later) warns only other code.
const DEPRECATED = {
  "node_modules/old/index.js": 'module.exports = typeof require("punycode").toASCII;',
  "index.js": 'const old = require("old"); exports.handler = async () => [old, process.noDeprecation ?? null];',
};

test("a package may load a deprecated module of Node without a warning", async () => {
  const folder = task(DEPRECATED);
  const [without, ran] = [await run(folder, [{}], { wrapper: false }), await run(folder, [{}])];
  assert.deepEqual(ran.results, without.results, ran.text);
  assert.equal(ran.text.includes("DEP0040"), without.text.includes("DEP0040"), ran.text);
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

test("a request has one traceparent, and the function's own wins", async () => {
  const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const server = await target();
  const text = `const http = require("http");
  const get = (options) => new Promise((resolve) => http.get(process.env.TARGET + "/http", options, (response) => response.resume().on("end", resolve)));
  exports.handler = async () => {
    for (const headers of [{ traceparent: "${own}" }, { Traceparent: "${own}" }, new Headers({ traceparent: "${own}" }), [["traceparent", "${own}"]]]) {
      await (await fetch(process.env.TARGET + "/fetch", { headers })).text();
      if (!(headers instanceof Headers) && !Array.isArray(headers)) await get({ headers });
    }
    await (await fetch(process.env.TARGET + "/other", { headers: { "x-api-key": "a" } })).text();
  };`;
  const ran = await run(task({ "index.js": text }), [{}], { env: { TARGET: server.url } });
  server.close();
  const sent = server.seen
    .filter(({ path }) => path !== "/other")
    .map(({ path, headers }) => [path, headers.traceparent, headers.tracestate]);
  assert.deepEqual(
    sent,
    ["/fetch", "/http", "/fetch", "/http", "/fetch", "/fetch"].map((path) => [path, own, undefined]),
    ran.text,
  );
  const [other] = server.seen.filter(({ path }) => path === "/other");
  assert.match(other.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

// Sizes of bodies in bytes, and whether each message has the trace context. Limits: SQS 1 MiB and SNS 256 KiB a request.
const SIZES = [
  ["SQS, SendMessage", (size) => ["sqs", "SendMessageCommand", { MessageBody: "x".repeat(size) }], 1048576 - 72, 1],
  ["SQS, SendMessage", (size) => ["sqs", "SendMessageCommand", { MessageBody: "x".repeat(size) }], 1048576 - 71, 0],
  [
    "SQS, SendMessage with attributes",
    (size) => [
      "sqs",
      "SendMessageCommand",
      { MessageBody: "é".repeat(size / 2), MessageAttributes: { n: { DataType: "String", StringValue: "1" } } },
    ],
    1048576 - 72,
    0,
  ],
  [
    "SQS, SendMessageBatch",
    (size) => ["sqs", "SendMessageBatchCommand", { Entries: ["1", "2"].map((Id) => ({ Id, MessageBody: "x".repeat(size) })) }],
    524288 - 71,
    1,
  ],
  [
    "SNS, Publish",
    (size) => ["sns", "PublishCommand", { TopicArn: "arn:aws:sns:eu-west-1:1:t", Message: "x".repeat(size) }],
    262144 - 71,
    0,
  ],
  [
    "SNS, Publish",
    (size) => ["sns", "PublishCommand", { TopicArn: "arn:aws:sns:eu-west-1:1:t", Message: "x".repeat(size) }],
    262144 - 72,
    1,
  ],
  [
    "SNS, PublishBatch",
    (size) => [
      "sns",
      "PublishBatchCommand",
      {
        TopicArn: "arn:aws:sns:eu-west-1:1:t",
        PublishBatchRequestEntries: ["1", "2"].map((Id) => ({ Id, Message: "x".repeat(size) })),
      },
    ],
    131072 - 71,
    1,
  ],
];

test("a message at AWS's limit gets no trace context", async (context) => {
  const modules = packages(["@aws-sdk/client-sqs@3.1169.0", "@aws-sdk/client-sns@3.1169.0"]);
  for (const [name, commandOf, size, expected] of SIZES) {
    await context.test(`${name}, ${size} bytes`, async () => {
      const server = await target();
      const [service, command, input] = commandOf(size);
      const text = `const sdk = require("@aws-sdk/client-${service}");
      exports.handler = async ({ size }) => {
        const [, , input] = (${commandOf})(size);
        ${service === "sqs" ? 'input.QueueUrl = process.env.TARGET + "/1/orders";' : ""}
        const Client = sdk.${service === "sqs" ? "SQSClient" : "SNSClient"};
        const options = { endpoint: process.env.TARGET, region: "eu-west-1", maxAttempts: 1, credentials: { accessKeyId: "a", secretAccessKey: "b" } };
        await new Client(options).send(new sdk.${command}(input)).catch(() => {});
        return Object.keys(input).length;
      };`;
      const ran = await run(task({ "index.js": text }, modules), [{ size }], { env: { TARGET: server.url } });
      server.close();
      assert.equal(server.seen.length, 1, ran.text);
      assert.equal(server.seen[0].body.split("traceparent").length - 1, expected, ran.text);
      void input;
    });
  }
});

test("a presigned URL is no call", async () => {
  const text = `const { S3Client, GetObjectCommand } = require("@aws-sdk/client-s3");
  const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
  const options = { endpoint: process.env.TARGET, forcePathStyle: true, region: "eu-west-1", maxAttempts: 1, credentials: { accessKeyId: "a", secretAccessKey: "b" } };
  exports.handler = async () => {
    const client = new S3Client(options);
    const command = new GetObjectCommand({ Bucket: "b", Key: "k" });
    await (await client.send(command)).Body.transformToString();
    return (await getSignedUrl(client, command)).includes("X-Amz-Signature");
  };`;
  const server = await target();
  const modules = packages(["@aws-sdk/client-s3@3", "@aws-sdk/s3-request-presigner@3"]);
  const ran = await run(task({ "index.js": text }, modules), [{}], { env: { TARGET: server.url } });
  server.close();
  assert.deepEqual(ran.results, [true], ran.text);
  assert.deepEqual(
    ran.kind("CLIENT").map(({ name }) => name),
    ["S3.GetObject"],
  );
});
