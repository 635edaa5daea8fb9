// The end of an invocation: of all ways in which a handler may answer the first counts, as in the runtime, and the runtime gets
// the answer when the spans have been written.
//
// Source: Lambda Developer Guide, "Using callback-based function handlers" and "context object"; what Lambda's runtime client for
// Node (aws-lambda-ric) does with them.

"use strict";

/// Those that have not answered yet, with what the runtime answers when nothing is under way any more. There is one invocation at a
/// time, but for what came to nothing.
const open = new Map();
let isWatching = false;

class Ending {
  /// `end` makes and writes the span, and never fails. `outside` does something that is not within the invocation's trace.
  constructor(end, outside) {
    this.end = end;
    this.outside = outside;
    this.answer = undefined;
    this.isLeftToTheRuntime = false;
    /// While the handler itself runs: what the runtime is told when it throws.
    this.thrown = undefined;
  }

  /// A function of the runtime's that answers. `outcomeOf` says what its arguments mean.
  answering(respond, outcomeOf) {
    const ending = this;
    return function answer(...values) {
      // The runtime itself calls what it gave the context, with what the promise had.
      if (ending.isLeftToTheRuntime) return respond.apply(this, values);
      if (ending.answer !== undefined) return undefined;
      open.delete(ending);
      const { thrown } = ending;
      ending.answer = ending.end(outcomeOf(...values)).then(() => new Promise((resolve) => {
        // What the runtime throws at an answer that it cannot send fails the invocation as without this: the handler would throw
        // it, and where that is done already, nobody catches it.
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

  /// The context's own ways to answer, which are no part of Node's runtime any more where there is no callback.
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
        // A context that cannot be changed: the span ends with the invocation's work.
      }
    }
  }

  /// Done before the promise that the handler returned has the runtime answer. What answered before it wins.
  before(outcome) {
    open.delete(this);
    this.answer ??= this.end(outcome).then(() => {
      this.isLeftToTheRuntime = true;
    });
    return this.answer;
  }

  /// Ends with `outcome` when nothing is under way any more, unless something answers before.
  whenIdle(returned, outcome = { hasFailed: false, value: undefined }) {
    if (this.answer === undefined) {
      open.set(this, outcome);
      watchForIdleness();
    }
    return returned;
  }
}

/// Node says that nothing is under way any more, at which the runtime answers. What has something to write before makes
/// Node say it once more.
function watchForIdleness() {
  if (isWatching) return;
  isWatching = true;
  const emit = process.emit;
  process.emit = function (event, ...values) {
    if (event !== "beforeExit" || open.size === 0) return emit.call(this, event, ...values);
    const ended = [...open].map(([ending, outcome]) => ending.before(outcome));
    open.clear();
    // Node goes on as long as there is a timer.
    const timer = setInterval(() => {}, 1000);
    Promise.all(ended).then(() => clearInterval(timer));
    return true;
  };
}

/// As Lambda's runtime sees it.
function isPromise(value) {
  return Boolean(value) && typeof value.then === "function";
}

module.exports = { Ending, isPromise };
