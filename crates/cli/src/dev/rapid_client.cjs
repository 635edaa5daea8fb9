// Replaces the native module of AWS's runtime client for Node (aws-lambda-ric), which compiles C++ for minutes. Answers wait for
// Lambda's response, as the native module does: the client may end the process right after.

"use strict";

const http = require("node:http");
const { isMainThread, Worker, workerData } = require("node:worker_threads");

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

function request(method, path, headers, body, done) {
  const sent = http.request(
    { hostname, port, method, path: `/2018-06-01/runtime/invocation/${path}`, headers },
    async (response) => {
      const pieces = [];
      for await (const piece of response) pieces.push(piece);
      done(undefined, { bodyJson: Buffer.concat(pieces).toString(), headers: response.headers });
    },
  );
  sent.on("error", done).end(body);
}

if (!isMainThread && workerData?.answered !== undefined) {
  require("node:worker_threads").parentPort.on("message", ([path, headers, body]) =>
    request("POST", path, headers, body, () => {
      Atomics.store(workerData.answered, 0, 1);
      Atomics.notify(workerData.answered, 0);
    }),
  );
} else {
  const answered = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(__filename, { workerData: { answered }, execArgv: [] });
  worker.unref();
  const post = (path, headers, body) => {
    Atomics.store(answered, 0, 0);
    worker.postMessage([path, headers, body]);
    Atomics.wait(answered, 0, 0);
  };
  exports.next = () =>
    new Promise((resolve, reject) => {
      request("GET", "next", {}, undefined, (error, event) => (error ? reject(error) : resolve(event)));
    });
  exports.done = (id, body) => post(`${id}/response`, {}, body);
  exports.error = (id, body) =>
    post(`${id}/error`, { "lambda-runtime-function-error-type": JSON.parse(body).errorType ?? "" }, body);
}
