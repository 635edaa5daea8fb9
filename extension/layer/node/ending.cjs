// Ends an invocation with the first answer of its handler: a value, a promise, the callback or the context. The runtime uses the
// first answer too. It gets the answer after the spans have been written.
//
// Source: Lambda Developer Guide, "Using callback-based function handlers" and "context object"; Lambda's runtime client for Node
// (aws-lambda-ric).

"use strict";

const clock = require("./clock.cjs");

/// Invocations without an answer, each with its outcome if the event loop becomes idle. There is more than one on Lambda Managed
/// Instances, or after an invocation that never answered.
const open = new Map();
let isWatching = false;

/// Ways to answer: the positions of the failure and of the result in the arguments. An argument that is `null` or `undefined` is
/// no failure, except for `context.fail`. `mayWait`: the runtime waits for an idle event loop and serializes the result then,
/// unless the function has set `callbackWaitsForEmptyEventLoop` to `false`.
const OF_CALLBACK = { failure: 0, result: 1, mayWait: true };
const OF_CONTEXT = { succeed: { result: 0 }, fail: { failure: 0, isFailure: true }, done: { failure: 0, result: 1 } };

class Ending {
  /// `end` ends and writes the spans, and never fails. `outside` runs an action outside the invocation's trace. `succeeded`
  /// returns the outcome of a handler with this result, and its answer for the runtime.
  constructor(end, outside, succeeded) {
    this.end = end;
    this.outside = outside;
    this.succeeded = succeeded;
    this.answer = undefined;
    this.isLeftToTheRuntime = false;
    /// Lambda's context, if the runtime takes answers by a callback.
    this.lambda = undefined;
    /// The runtime's callback, for errors that the handler throws. Set while the handler's synchronous part runs.
    this.thrown = undefined;
  }

  /// Wraps a function of the runtime that takes the answer in this way.
  answering(respond, way) {
    const ending = this;
    return function answer(...values) {
      const failure = values[way.failure];
      const hasFailed = way.isFailure || (failure !== undefined && failure !== null);
      // The runtime makes an error of a failure that is none.
      const send = () =>
        hasFailed ? require("./frames.cjs").withoutFrames(() => respond.apply(this, values)) : respond.apply(this, values);
      // After a promise settles, the runtime itself calls the context's functions with the result.
      if (ending.isLeftToTheRuntime) return send();
      if (ending.answer !== undefined) return undefined;
      open.delete(ending);
      const { thrown } = ending;
      const outcome = hasFailed ? { hasFailed, value: failure } : ending.succeeded(values[way.result]);
      const isReadLater = way.mayWait && outcome.isCopy && ending.lambda?.callbackWaitsForEmptyEventLoop !== false;
      if (way.result < values.length && !isReadLater) values[way.result] = outcome.answer;
      ending.answer = holdingFailures(ending.end(outcome)).then(
        () =>
          new Promise((resolve) => {
            // The runtime throws if it cannot send an answer. As without the layer, this error fails the invocation: the handler
            // throws it, or it is an uncaught exception if the handler has already returned.
            clock.setImmediate(() => {
              try {
                ending.outside(send);
              } catch (error) {
                if (thrown === undefined) throw error;
                ending.outside(() => thrown(error));
              } finally {
                resolve();
              }
            });
          }),
      );
      return undefined;
    };
  }

  /// Wraps the context's functions that answer. Node's runtimes without callbacks do not have them.
  watch(lambda) {
    this.lambda = lambda;
    for (const [name, way] of Object.entries(OF_CONTEXT)) {
      try {
        if (typeof lambda[name] === "function") lambda[name] = this.answering(lambda[name], way);
      } catch {
        // The context is read-only. The span ends with the handler's promise, or when the event loop is idle.
      }
    }
  }

  /// Ends the invocation with the result of the handler, before the runtime gets it. An earlier answer wins.
  before(outcome) {
    open.delete(this);
    this.answer ??= holdingFailures(this.end(outcome)).then(() => {
      this.isLeftToTheRuntime = true;
    });
    return this.answer;
  }

  /// Like `before`, with a result. Returns the answer.
  succeed(value) {
    const outcome = this.succeeded(value);
    return this.before(outcome).then(() => outcome.answer);
  }

  /// Like `before`, with an error of the handler. Returns a promise that rejects with this error.
  fail(error) {
    return this.before({ hasFailed: true, value: error }).then(() => {
      throw error;
    });
  }

  /// Ends the invocation with `outcome` when the event loop is idle, unless the handler answers before.
  whenIdle(returned, outcome = { hasFailed: false, value: undefined }) {
    if (this.answer === undefined) {
      open.set(this, outcome);
      watchProcess();
    }
    return returned;
  }
}

const FAILURES = ["uncaughtException", "unhandledRejection"];
/// Number of answers that wait for their spans, and failures of the function in the meantime.
let waiting = 0;
let held = [];

/// Delays failures that come between the answer and its response, which waits for the spans. Without the layer, the runtime would
/// have responded before.
async function holdingFailures(ended) {
  watchProcess();
  waiting += 1;
  await ended;
  releaseAfter(TURNS);
}

/// Turns of the event loop in which runtime clients send a response.
const TURNS = 4;

function releaseAfter(turns) {
  if (turns > 0) return clock.setImmediate(() => releaseAfter(turns - 1));
  waiting -= 1;
  if (waiting > 0) return undefined;
  const late = held;
  held = [];
  return late.forEach((values) => process.emit(...values));
}

/// Intercepts `beforeExit`, which Node emits when the event loop is idle, and at which the runtime answers. The spans are written
/// first; Node then emits the event again. Also intercepts failures, see above.
function watchProcess() {
  if (isWatching) return;
  isWatching = true;
  replaceEmit(
    (emit) =>
      function (event, ...values) {
        // Without a listener, Node ends the process.
        if (waiting > 0 && FAILURES.includes(event) && process.listenerCount(event) > 0) {
          held.push([event, ...values]);
          return true;
        }
        if (FAILURES.includes(event)) return require("./frames.cjs").withoutFrames(() => emit.call(this, event, ...values));
        if (event !== "beforeExit" || open.size === 0) return emit.call(this, event, ...values);
        const ended = [...open].map(([ending, outcome]) => ending.before(outcome));
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
        .before({ hasFailed: true, value: failure })
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
