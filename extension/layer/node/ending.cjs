// Ends an invocation with the first answer of its handler: a value, a promise, the callback or the context. The runtime uses the
// first answer too. It gets the answer after the spans have been written.
//
// Source: Lambda Developer Guide, "Using callback-based function handlers" and "context object"; Lambda's runtime client for Node
// (aws-lambda-ric).

"use strict";

const { clock } = require("./originals.cjs");

/// Invocations without an answer, each with its outcome if the event loop becomes idle. There is more than one on Lambda Managed
/// Instances, or after an invocation that never answered.
const open = new Map();
let isWatching = false;

/// Ways to answer: the positions of the failure and of the result in the arguments. An argument that is `null` or `undefined` is
/// no failure, unless `isFailure` is `true`. If `mayWait` is `true`, the runtime waits for an idle event loop and serializes the
/// result then, unless the function has set `callbackWaitsForEmptyEventLoop` to `false`.
const OF_CALLBACK = { failure: 0, result: 1, mayWait: true };
const OF_CONTEXT = { succeed: { result: 0 }, fail: { failure: 0, isFailure: true }, done: { failure: 0, result: 1 } };

/// Returns `true` if these arguments, which answer in this way, report a failure.
function isFailed(values, way) {
  const failure = values[way.failure];
  return way.isFailure || (failure !== undefined && failure !== null);
}

class Ending {
  /// `end` ends and writes the spans, and never fails. `outside` runs an action outside the invocation's trace. `outcomeOf` returns
  /// the outcome of a handler with this result, and its answer for the runtime.
  constructor(end, outside, outcomeOf) {
    this.end = end;
    this.outside = outside;
    this.outcomeOf = outcomeOf;
    /// Resolves when the spans of the first answer are written.
    this.ended = undefined;
    /// `true` once the spans of a settled promise are written. The runtime itself then answers.
    this.isLeftToTheRuntime = false;
    /// Lambda's context, if the runtime takes answers by a callback.
    this.lambda = undefined;
    /// The runtime's callback, for errors that the handler throws. Set while the handler's synchronous part runs.
    this.callbackForErrors = undefined;
  }

  /// Wraps a function of the runtime that takes the answer in this way. The wrapper ends the invocation, and then passes the answer
  /// on.
  wrapRespond(respond, way) {
    const ending = this;
    return function answer(...values) {
      const hasFailed = isFailed(values, way);
      // The runtime makes an error of a failure that is none.
      const sender = (sent) => () =>
        hasFailed ? require("./frames.cjs").withoutFrames(() => respond.apply(this, sent)) : respond.apply(this, sent);
      // After a promise settles, the runtime itself calls the context's functions with the result.
      if (ending.isLeftToTheRuntime) return sender(values)();
      if (ending.ended !== undefined) return undefined;
      const outcome = hasFailed ? { hasFailed, value: values[way.failure] } : ending.outcomeOf(values[way.result]);
      ending.accept(outcome, sender(ending.sentArguments(values, way, outcome)));
      return undefined;
    };
  }

  /// Returns the arguments with which the answer goes on to the runtime. They have the answer of the outcome in place of the result,
  /// unless the runtime serializes the result later.
  sentArguments(values, way, outcome) {
    const isReadLater = way.mayWait && outcome.isCopy && this.lambda?.callbackWaitsForEmptyEventLoop !== false;
    return isReadLater ? values : values.map((value, at) => (at === way.result ? outcome.answer : value));
  }

  /// Ends the invocation with the outcome of its first answer, and sends the answer afterwards.
  accept(outcome, send) {
    open.delete(this);
    const { callbackForErrors } = this;
    this.ended = holdingFailures(this.end(outcome)).then(() => this.sendInOwnTurn(send, callbackForErrors));
  }

  /// Sends an answer in a turn of the event loop of its own. The runtime throws if it cannot send it. As without the layer, this error
  /// fails the invocation: the handler throws it, or it is an uncaught exception if the handler has already returned.
  sendInOwnTurn(send, callbackForErrors) {
    return new Promise((resolve) => {
      clock.setImmediate(() => {
        try {
          this.outside(send);
        } catch (error) {
          if (callbackForErrors === undefined) throw error;
          this.outside(() => callbackForErrors(error));
        } finally {
          resolve();
        }
      });
    });
  }

  /// Wraps the context's functions that answer. Node's runtimes without callbacks do not have them.
  wrapContext(lambda) {
    this.lambda = lambda;
    for (const [name, way] of Object.entries(OF_CONTEXT)) {
      try {
        if (typeof lambda[name] === "function") lambda[name] = this.wrapRespond(lambda[name], way);
      } catch {
        // The context is read-only. The span ends with the handler's promise, or when the event loop is idle.
      }
    }
  }

  /// Ends the invocation with the result of the handler, before the runtime gets it. An earlier answer wins.
  endBeforeAnswer(outcome) {
    open.delete(this);
    this.ended ??= holdingFailures(this.end(outcome)).then(() => {
      this.isLeftToTheRuntime = true;
    });
    return this.ended;
  }

  /// Like `endBeforeAnswer`, with a result. Returns a promise of the answer.
  succeed(value) {
    const outcome = this.outcomeOf(value);
    return this.endBeforeAnswer(outcome).then(() => outcome.answer);
  }

  /// Like `endBeforeAnswer`, with an error of the handler. Returns a promise that rejects with this error.
  fail(error) {
    return this.endBeforeAnswer({ hasFailed: true, value: error }).then(() => {
      throw error;
    });
  }

  /// Ends the invocation with `outcome` when the event loop is idle, unless the handler answers before.
  endWhenIdle(outcome) {
    if (this.ended !== undefined) return;
    open.set(this, outcome);
    watchProcess();
  }
}

const FAILURES = ["uncaughtException", "unhandledRejection"];
/// Number of answers that wait for their spans.
let waiting = 0;
/// The arguments of `process.emit` of failures in the meantime.
let heldFailures = [];

/// Delays failures that come between the answer and its response, which waits for the spans. Without the layer, the runtime would
/// have responded before.
async function holdingFailures(ended) {
  watchProcess();
  waiting += 1;
  await ended;
  releaseAfter(TURNS_OF_RESPONSE);
}

/// Turns of the event loop in which runtime clients send a response.
const TURNS_OF_RESPONSE = 4;

function releaseAfter(turns) {
  if (turns > 0) return clock.setImmediate(() => releaseAfter(turns - 1));
  waiting -= 1;
  if (waiting > 0) return undefined;
  const released = heldFailures;
  heldFailures = [];
  return released.forEach((values) => process.emit(...values));
}

/// Intercepts `beforeExit`, which Node emits when the event loop is idle, and at which the runtime answers. The spans are written
/// first; Node then emits the event again. Also intercepts failures (`holdingFailures`).
function watchProcess() {
  if (isWatching) return;
  isWatching = true;
  replaceEmit(
    (emit) =>
      function (event, ...values) {
        const isFailure = FAILURES.includes(event);
        // Without a listener, Node ends the process.
        if (isFailure && waiting > 0 && process.listenerCount(event) > 0) {
          heldFailures.push([event, ...values]);
          return true;
        }
        if (isFailure) return require("./frames.cjs").withoutFrames(() => emit.call(this, event, ...values));
        if (event !== "beforeExit" || open.size === 0) return emit.call(this, event, ...values);
        const ended = [...open].map(([ending, outcome]) => ending.endBeforeAnswer(outcome));
        open.clear();
        // The timer keeps the event loop alive until the spans are written.
        const timer = clock.setInterval(() => {}, 1000);
        Promise.all(ended).then(() => clock.clearInterval(timer));
        return true;
      },
  );
}

/// Replaces `process.emit` by the function that `make` returns. A listener would be visible, and could change what Node does.
function replaceEmit(make) {
  const value = make(process.emit);
  Object.defineProperty(value, "name", { value: "emit" });
  Object.defineProperty(process, "emit", { value, writable: true, configurable: true, enumerable: false });
}

/// Wraps a value with a method `then` that is no promise of Node's. The runtime calls `then` once, and so does this function,
/// because the value may do its work there, which belongs to the invocation (`within`).
function thenable(value, ending, within) {
  const then = (resolve, reject) => {
    let isSettled = false;
    const succeeded = (result) => {
      isSettled = true;
      return ending.succeed(result).then(resolve).catch(reject);
    };
    const failed = (failure) => {
      isSettled = true;
      return ending
        .endBeforeAnswer({ hasFailed: true, value: failure })
        .then(() => reject(failure))
        .catch(reject);
    };
    const returned = within(() => value.then(succeeded, failed));
    // The runtime expects a promise, but the first answer counts. It comes later here.
    return isSettled ? (returned ?? Promise.resolve()) : returned;
  };
  return new Proxy(value, {
    get(target, key) {
      if (key === "then") return then;
      const found = Reflect.get(target, key, target);
      return typeof found === "function" ? found.bind(target) : found;
    },
  });
}

/// Returns `true` if Lambda's runtime treats the value as a promise.
function isPromise(value) {
  return Boolean(value) && typeof value.then === "function";
}

module.exports = { Ending, FAILURES, OF_CALLBACK, isPromise, replaceEmit, thenable };
