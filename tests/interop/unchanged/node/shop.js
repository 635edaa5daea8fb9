// A function without OpenTelemetry. It requests a price over HTTP and the queues of SQS, and exports its handler in several
// forms.

const http = require("node:http");
const { ListQueuesCommand, SQSClient } = require("@aws-sdk/client-sqs");

const queues = new SQSClient({});

async function handler(event) {
  if (event.action === "fail") throw new RangeError("the order cannot be fulfilled");
  await ask("price");
  await queues.send(new ListQueuesCommand({}));
  if (event.action === "wait") await ask("never");
  // Waits until the ended spans are exported.
  if (event.action === "block") await new Promise((resolve) => setTimeout(resolve, 500));
  while (event.action === "block");
  // The process ends before the spans of this invocation are exported.
  if (["exit", "throw", "reject"].includes(event.action)) {
    const answer = ask("never");
    if (event.action === "exit") process.exit(3);
    if (event.action === "throw")
      setImmediate(() => {
        throw new RangeError("nobody catches this");
      });
    else Promise.reject(new RangeError("nobody handles this"));
    await answer;
  }
  return { done: event.number };
}

function ask(what) {
  return new Promise((resolve, reject) => {
    http.get(`${process.env.PRICES}/${what}`, (response) => response.resume().on("end", resolve)).on("error", reject);
  });
}

function calledBack(event, context, callback) {
  handler(event).then((result) => callback(null, result), callback);
}

// Bundlers write the exports of a module as getters without setters.
const bundled = {};
for (const [name, value] of Object.entries({ handler, calledBack, inside: { handler } })) {
  Object.defineProperty(bundled, name, { enumerable: true, get: () => value });
}
module.exports = bundled;
