// Takes the place of Lambda's runtime for Node, whose client compiles for minutes: it finds, loads and calls a handler as the Developer
// Guide says ("Define Lambda function handler in Node.js"), one invocation after the other.

import { existsSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

function call(method, place, body) {
  return new Promise((resolve, reject) => {
    const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/${place}`;
    const request = http.request(url, { method }, async (response) => {
      const pieces = [];
      for await (const piece of response) pieces.push(piece);
      resolve({ headers: response.headers, text: Buffer.concat(pieces).toString() });
    });
    request.on("error", reject).end(body);
  });
}

async function load() {
  const [file, ...names] = process.env._HANDLER.split(".");
  const stem = path.resolve(process.env.LAMBDA_TASK_ROOT, file);
  const module = existsSync(`${stem}.js`)
    ? createRequire(import.meta.url)(`${stem}.js`)
    : await import(pathToFileURL(`${stem}.mjs`));
  return names.reduce((holder, name) => holder[name], module);
}

function invoke(handler, event, context) {
  return new Promise((resolve, reject) => {
    const callback = (error, result) => (error ? reject(error) : resolve(result));
    const returned = handler(event, context, callback);
    if (typeof returned?.then === "function") returned.then(resolve, reject);
    else if (returned !== undefined || handler.length < 3) resolve(returned);
  });
}

/// The invocation that runs.
let running;
/// As Lambda's runtime client does (aws-lambda-ric, index.mjs): it tells of the error, and ends the process.
function endWith(exitCode, errorType) {
  return async (error) => {
    const failure = { errorType: errorType ?? error.name, errorMessage: error.message, trace: [] };
    await call("POST", `invocation/${running}/error`, JSON.stringify(failure));
    process.exit(exitCode);
  };
}
process.on("uncaughtException", endWith(129));
process.on("unhandledRejection", endWith(128, "Runtime.UnhandledPromiseRejection"));

const handler = await load();
for (;;) {
  const { headers, text } = await call("GET", "invocation/next");
  const awsRequestId = headers["lambda-runtime-aws-request-id"];
  running = awsRequestId;
  const context = {
    awsRequestId,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    getRemainingTimeInMillis: () => Number(headers["lambda-runtime-deadline-ms"]) - Date.now(),
  };
  try {
    const result = await invoke(handler, JSON.parse(text), context);
    await call("POST", `invocation/${awsRequestId}/response`, JSON.stringify(result));
  } catch (error) {
    const failure = { errorType: error.name, errorMessage: error.message, trace: error.stack.split("\n") };
    await call("POST", `invocation/${awsRequestId}/error`, JSON.stringify(failure));
  }
}
