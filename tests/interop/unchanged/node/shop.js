// A function that loads nothing of OpenTelemetry: it asks for a price over HTTP and for the queues of SQS. Its handler in the forms
// that Lambda knows.

const http = require("node:http");
const { ListQueuesCommand, SQSClient } = require("@aws-sdk/client-sqs");

const queues = new SQSClient({});

async function handler(event) {
  if (event.action === "fail") throw new RangeError("the order cannot be fulfilled");
  await ask("price");
  await queues.send(new ListQueuesCommand({}));
  if (event.action === "wait") await ask("never");
  // Until what has ended is exported.
  if (event.action === "block") await new Promise((resolve) => setTimeout(resolve, 500));
  while (event.action === "block");
  // Nothing of this has been exported when the process ends.
  if (["exit", "throw", "reject"].includes(event.action)) {
    const answer = ask("never");
    if (event.action === "exit") process.exit(3);
    if (event.action === "throw") setImmediate(() => { throw new RangeError("nobody catches this"); });
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

// As bundlers write the exports of a module: getters, which nobody can change.
const bundled = {};
for (const [name, value] of Object.entries({ handler, calledBack, inside: { handler } })) {
  Object.defineProperty(bundled, name, { enumerable: true, get: () => value });
}
module.exports = bundled;
