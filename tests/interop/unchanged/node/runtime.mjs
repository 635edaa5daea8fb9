// Replaces Lambda's runtime for Node, because its client takes minutes to compile. Finds, loads and calls a handler as described
// in the Developer Guide ("Define Lambda function handler in Node.js"), one invocation after the other.

import { existsSync, readFileSync, statSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { isMainThread, Worker } from "node:worker_threads";

// The function under test may patch `http.request`.
const { request: open } = http;
// Lambda's runtimes have this variable, and libraries check it.
process.env.AWS_EXECUTION_ENV ??= `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`;

const isManaged = process.env.AWS_LAMBDA_MAX_CONCURRENCY !== undefined;

function call(method, place, body) {
  return new Promise((resolve, reject) => {
    const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/${place}`;
    const request = open(url, { method }, async (response) => {
      const pieces = [];
      for await (const piece of response) pieces.push(piece);
      resolve({ headers: response.headers, text: Buffer.concat(pieces).toString() });
    });
    request.on("error", reject).end(body);
  });
}

async function load() {
  const { _HANDLER: handler, LAMBDA_TASK_ROOT: root } = process.env;
  const [file, ...names] = path.basename(handler).split(".");
  const stem = path.resolve(root, path.dirname(handler), file);
  const found = ["", ".js", ".mjs", ".cjs"]
    .map((end) => stem + end)
    .find((each) => {
      return statSync(each, { throwIfNoEntry: false })?.isFile();
    });
  if (found === undefined) throw new Error(`Cannot find module '${stem}'`);
  const isModule = found.endsWith(".mjs") || (found.endsWith(".js") && isModuleFolder(path.dirname(found)));
  const module = isModule ? await import(pathToFileURL(found)) : createRequire(import.meta.url)(found);
  return names.reduce((holder, name) => holder[name], module);
}

/// Returns `true` if the nearest package.json has the type `module`. Node's `require` loads ES modules too, but Lambda imports
/// them.
function isModuleFolder(folder) {
  const description = path.join(folder, "package.json");
  if (existsSync(description)) return JSON.parse(readFileSync(description, "utf8")).type === "module";
  const above = path.dirname(folder);
  return above !== folder && isModuleFolder(above);
}

let whenIdle;
process.on("beforeExit", () => whenIdle?.());

/// Resolves with the first answer: the promise, the callback or the context. Without an answer, the invocation ends when the
/// event loop is idle: an async function fails, and any other function answers with null. A returned value is not used.
function invoke(handler, event, context) {
  return new Promise((resolve, reject) => {
    const callback = (error, result) => (error === undefined || error === null ? resolve(result) : reject(error));
    Object.assign(context, { succeed: resolve, fail: reject, done: callback });
    whenIdle = () => {
      if (handler.constructor?.name !== "AsyncFunction") return resolve(null);
      const error = new Error("the promise of the handler never settled");
      reject(Object.assign(error, { name: "Runtime.NodeJsExit" }));
    };
    const returned = handler(event, context, callback);
    if (typeof returned?.then === "function") returned.then(resolve, reject);
  });
}

/// Describes the failure for the Runtime API. A handler may fail with any value.
function failureOf(error, errorType) {
  if (!(error instanceof Error)) return { errorType: errorType ?? typeof error, errorMessage: String(error), trace: [] };
  return { errorType: errorType ?? error.name, errorMessage: error.message, trace: String(error.stack).split("\n") };
}

/// The request id of the current invocation.
let running;
/// Returns a listener that reports the error and ends the process, as Lambda's runtime client does (aws-lambda-ric, index.mjs).
function endWith(exitCode, errorType) {
  return async (error) => {
    await call("POST", `invocation/${running}/error`, JSON.stringify({ ...failureOf(error, errorType), trace: [] }));
    process.exit(exitCode);
  };
}
process.on("uncaughtException", endWith(129));
process.on("unhandledRejection", endWith(128, "Runtime.UnhandledPromiseRejection"));

async function serve() {
  const handler = await load();
  for (;;) {
    const { headers, text } = await call("GET", "invocation/next");
    const awsRequestId = headers["lambda-runtime-aws-request-id"];
    running = awsRequestId;
    if (!isManaged) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
    const context = {
      awsRequestId,
      functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
      functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
      memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
      getRemainingTimeInMillis: () => Number(headers["lambda-runtime-deadline-ms"]) - Date.now(),
    };
    try {
      const result = await invoke(handler, JSON.parse(text), context);
      await call("POST", `invocation/${awsRequestId}/response`, JSON.stringify(result === undefined ? null : result));
    } catch (error) {
      await call("POST", `invocation/${awsRequestId}/error`, JSON.stringify(failureOf(error)));
    }
  }
}

// On Lambda Managed Instances, threads call the handler (aws-lambda-ric 4, `WorkerManager`).
if (isManaged && isMainThread) new Worker(new URL(import.meta.url), { env: process.env, execArgv: process.execArgv });
else await serve();
