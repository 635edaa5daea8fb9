// Calls handlers of each form through the layer's handler.cjs, as Lambda's runtime does, with an SDK that only notes what happens.
// The first argument is the folder of handler.cjs; prints a line for each form.

"use strict";

const { replaceHandler } = require(`${process.argv[2]}/handler.cjs`);

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const noted = [];
const span = {
  setAttribute: (name, value) => noted.push(`${name}=${value}`),
  setStatus: () => noted.push("failed"),
  recordException: () => {},
  end: () => noted.push("ended"),
};
const tracers = {
  getTracer: () => ({ startSpan: (name) => (noted.push(`begun ${name}`), span) }),
  // Longer than what the handlers do.
  forceFlush: () => new Promise((resolve) => setTimeout(() => resolve(noted.push("flushed")), 20)),
};
const api = {
  ROOT_CONTEXT: {},
  SpanKind: {},
  SpanStatusCode: {},
  context: { with: (_context, action) => action() },
  propagation: { extract: (context) => context },
  trace: { setSpan: (context) => context },
};
const lambda = { functionName: "shop", awsRequestId: "1", invokedFunctionArn: "arn:aws:lambda:eu-west-1:1:function:shop" };

async function check(form, handler, call) {
  noted.length = 0;
  const { wrapped } = replaceHandler(() => api, tracers, { wrapped: handler }, "wrapped");
  if (wrapped.length !== handler.length || wrapped[STREAMING] !== handler[STREAMING]) noted.push("looks different");
  const result = await call(wrapped).then(String, (error) => `error ${error.message}`);
  noted.push(result);
  await new Promise((resolve) => setTimeout(resolve, 40));
  console.log(`${form}: ${noted.join(", ")}`);
}

const promised = async (handler) => handler({}, lambda);
const calledBack = (handler) => new Promise((resolve, reject) => {
  handler({}, lambda, (error, result) => (error ? reject(error) : resolve(result)));
});
const ignored = async (handler) => handler({}, lambda, () => {});
const streamed = async (handler) => handler({}, "stream", lambda);
const streaming = Object.assign(async (_event, stream, { functionName }) => `${stream} ${functionName}`, { [STREAMING]: "response" });

async function main() {
  await check("promise", async () => 3, promised);
  await check("status", async () => ({ statusCode: 502, toString: () => "3" }), promised);
  await check("rejection", async () => Promise.reject(new Error("no")), promised);
  await check("throw", () => { throw new Error("no"); }, promised);
  await check("value", () => 3, promised);
  await check("value beside a callback", () => 3, ignored);
  await check("callback", (_event, _lambda, callback) => void setTimeout(callback, 1, null, 3), calledBack);
  await check("failed callback", (_event, _lambda, callback) => callback(new Error("no")), calledBack);
  await check("stream", streaming, streamed);
  tracers.forceFlush = () => Promise.reject(new Error("the extension is gone"));
  await check("failed flush", async () => 3, promised);
  tracers.getTracer = () => { throw new Error("no tracer"); };
  await check("no span", async () => 3, promised);
}

main();
