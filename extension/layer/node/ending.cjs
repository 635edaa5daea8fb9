// Ends an invocation with the first answer of its handler: a value, a promise, the callback or the context. The runtime uses the
// first answer too. It gets the answer after the spans have been written.
//
// Source: Lambda Developer Guide, "Using callback-based function handlers" and "context object"; Lambda's runtime client for Node
// (aws-lambda-ric).

"use strict";

/// Invocations without an answer, each with its outcome if the event loop becomes idle. There is more than one on Lambda Managed
/// Instances, or after an invocation that never answered.
const open = new Map();
let isWatching = false;

class Ending {
  /// `end` ends and writes the spans, and never fails. `outside` runs an action outside the invocation's trace.
  constructor(end, outside) {
    this.end = end;
    this.outside = outside;
    this.answer = undefined;
    this.isLeftToTheRuntime = false;
    /// The runtime's callback, for errors that the handler throws. Set while the handler's synchronous part runs.
    this.thrown = undefined;
  }

  /// Wraps a function of the runtime that takes the answer. `outcomeOf` converts its arguments to an outcome.
  answering(respond, outcomeOf) {
    const ending = this;
    return function answer(...values) {
      // After a promise settles, the runtime itself calls the context's functions with the result.
      if (ending.isLeftToTheRuntime) return respond.apply(this, values);
      if (ending.answer !== undefined) return undefined;
      open.delete(ending);
      const { thrown } = ending;
      ending.answer = holdingFailures(ending.end(outcomeOf(...values))).then(() => new Promise((resolve) => {
        // The runtime throws if it cannot send an answer. As without the layer, this error fails the invocation: the handler throws
        // it, or it is an uncaught exception if the handler has already returned.
        setImmediate(() => {
          try {
            ending.outside(() => respond.apply(this, values));
          } catch (error) {
            if (thrown === undefined) throw error;
            ending.outside(() => thrown(error));
          } finally {
            resolve();
          }
        });
      }));
      return undefined;
    };
  }

  /// Wraps the context's functions that answer. Node's runtimes without callbacks do not have them.
  watch(lambda) {
    const ways = {
      succeed: (value) => ({ hasFailed: false, value }),
      fail: (value) => ({ hasFailed: true, value }),
      done: (failure, value) => (failure === undefined || failure === null
        ? { hasFailed: false, value }
        : { hasFailed: true, value: failure }),
    };
    for (const [name, outcomeOf] of Object.entries(ways)) {
      try {
        if (typeof lambda[name] === "function") lambda[name] = this.answering(lambda[name], outcomeOf);
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

/// Delays failures that come between the answer and its response, which waits for the spans. Without the layer, the runtime would have
/// responded before.
async function holdingFailures(ended) {
  watchProcess();
  waiting += 1;
  await ended;
  releaseAfter(TURNS);
}

/// Turns of the event loop in which runtime clients send a response.
const TURNS = 4;

function releaseAfter(turns) {
  if (turns > 0) return setImmediate(() => releaseAfter(turns - 1));
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
  const emit = process.emit;
  process.emit = function (event, ...values) {
    // Without a listener, Node ends the process.
    if (waiting > 0 && FAILURES.includes(event) && process.listenerCount(event) > 0) {
      held.push([event, ...values]);
      return true;
    }
    if (event !== "beforeExit" || open.size === 0) return emit.call(this, event, ...values);
    const ended = [...open].map(([ending, outcome]) => ending.before(outcome));
    open.clear();
    // The timer keeps the event loop alive until the spans are written.
    const timer = setInterval(() => {}, 1000);
    Promise.all(ended).then(() => clearInterval(timer));
    return true;
  };
}

/// Wraps a value with a method `then` that is no promise of Node's. The runtime calls `then` once, and so does this function, because the
/// value may do its work there, which belongs to the invocation (`within`). `before(hasFailed, value)` returns a promise.
function thenable(value, before, within) {
  const then = (resolve, reject) => {
    let isSettled = false;
    const settled = (hasFailed, settle) => (result) => {
      isSettled = true;
      return before(hasFailed, result).then(() => settle(result)).catch(reject);
    };
    const returned = within(() => value.then(settled(false, resolve), settled(true, reject)));
    // The runtime expects a promise, but the first answer counts. It comes later here.
    return isSettled ? returned ?? Promise.resolve() : returned;
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

module.exports = { Ending, isPromise, thenable };
