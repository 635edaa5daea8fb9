// The Node function of the matrix of endings. Its event names the ending: `{"ends": "ok"}`.

class Declined extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "Declined";
  }
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function failure(message) {
  return new RangeError(message);
}

function printedError(id) {
  const error = { errorType: "TypeError", errorMessage: "printed", stack: ["TypeError: printed", "    at f (/a.js:1:1)"] };
  process.stdout.write(`2026-09-21T14:13:21.000Z\t${id}\tERROR\tInvoke Error \t${JSON.stringify(error)}\n`);
}

export const handler = async (event, context) => {
  const { ends } = event;
  const id = context.awsRequestId;
  console.log(`ending ${ends} ${id}`);
  switch (ends) {
    case "null":
      return null;
    case "text":
      return "done";
    case "status 404":
      return { statusCode: 404 };
    case "status 500":
      return { statusCode: 500 };
    case "failed messages":
      return { batchItemFailures: [{ itemIdentifier: "1" }] };
    case "error":
      throw failure("no stock");
    case "error without text":
      throw failure();
    case "error of two lines":
      throw failure("no stock\nfor order 7");
    case "error of its own type":
      throw new Declined("declined");
    case "error with a cause":
      throw new Declined("declined", { cause: failure("x") });
    case "error in a task":
      await Promise.all([wait(1), Promise.reject(failure("no stock"))]);
      break;
    case "error after a wait":
      await wait(20);
      throw failure("no stock");
    case "error after a logged one":
      console.error("logged");
      throw failure("no stock");
    case "logged error":
      console.error("logged");
      break;
    case "printed error of a runtime":
      printedError(id);
      break;
    case "printed and failed":
      printedError(id);
      throw failure("no stock");
    case "printed timeout":
      process.stdout.write(`2026-09-21T14:13:21.000Z ${id} Task timed out after 3.00 seconds\n`);
      break;
    case "printed exit":
      process.stdout.write(`RequestId: ${id} Error: Runtime exited with error: exit status 1\n`);
      break;
    case "panic":
      // An uncaught error ends the runtime client.
      setTimeout(() => {
        throw failure("on fire");
      }, 1);
      await wait(1000);
      break;
    case "panic in a task":
      // A handled rejection.
      await Promise.reject(failure("on fire")).catch(() => {});
      break;
    case "caught error":
      try {
        throw failure("caught");
      } catch {}
      break;
    case "unserializable": {
      const circular = {};
      circular.self = circular;
      return circular;
    }
    case "too large":
      return "x".repeat(7 * 1024 * 1024);
    case "exit 0":
      process.exit(0);
      break;
    case "exit 1":
      process.exit(1);
      break;
    case "abort":
      process.abort();
      break;
    case "killed":
      process.kill(process.pid, "SIGKILL");
      await wait(1000);
      break;
    case "waits for ever":
      await wait(60_000);
      break;
    case "computes for ever":
      for (;;);
  }
  return { statusCode: 200 };
};
