// The boundary between the function's calls and the instrumentations that enter them.
//
// Whatever an instrumentation throws, the function's call runs once, and the function gets its result, its exception or its callback.
// The first failure of an instrumentation in an environment is a line in the function's log.
//
// An instrumentation enters a call by a function in the place of another one (`_wrap`), by a change of a package that loads (`init`),
// by a diagnostics channel (`subscribeToChannel`), or by handlers that it adds to what a call returns.

"use strict";

const { types } = require("node:util");
const { say } = require("./originals.cjs");

/// The instrumentations that have failed in this environment.
const failed = new Set();
/// Number of characters of an error that are logged.
const MAX_MESSAGE = 512;
/// Methods by which an instrumentation adds a handler to an emitter or a promise.
const ADDING = ["on", "once", "prependListener", "then"];

/// Logs the first failure of an instrumentation.
function report(name, error) {
  if (failed.has(name)) return;
  failed.add(name);
  let described = "an error without a text";
  try {
    described = require("./secrets.cjs").mask(String(error).replace(/\s+/g, " ").slice(0, MAX_MESSAGE));
  } catch {}
  say(`the instrumentation ${name} failed in a call, which went on without it: ${described}; its next failures are not logged`);
}

/// Returns the class with functions and hooks that do not fail the function's calls.
function guardInstrumentation(Instrumentation, name) {
  return class extends Instrumentation {
    constructor(config) {
      super(config);
      // An instrumentation of several versions of a package consists of others.
      for (const part of Object.values(this)) {
        if (typeof part?.getModuleDefinitions !== "function") continue;
        guardWrap(part, name);
        guardPatches(part.getModuleDefinitions(), name);
      }
    }

    init() {
      guardWrap(this, name);
      const definitions = super.init();
      guardPatches([definitions ?? []].flat(), name);
      return definitions;
    }

    subscribeToChannel(channel, listener) {
      super.subscribeToChannel(channel, guardListener(listener, name));
    }
  };
}

function guardWrap(instrumentation, name) {
  const wrap = instrumentation._wrap;
  instrumentation._wrap = (holder, method, wrapper) => wrap(holder, method, guard(wrapper, name));
}

function guardPatches(definitions, name) {
  for (const definition of definitions) {
    for (const each of [definition, ...(definition.files ?? [])]) {
      if (each.patch !== undefined) each.patch = guardPatch(each.patch, name);
    }
  }
}

/// Returns a change of a package's exports, which stay as they are after a failure.
function guardPatch(patch, name) {
  return function (exports, ...others) {
    try {
      return patch.call(this, exports, ...others);
    } catch (error) {
      report(name, error);
      return exports;
    }
  };
}

/// The error with which an instrumentation's handler or callback is running.
let givenError;

/// Runs an instrumentation's handler or callback, and notes the error that it is given.
function runGiven(action, self, values) {
  const above = givenError;
  givenError = values[0] instanceof Error ? values[0] : undefined;
  try {
    return Reflect.apply(action, self, values);
  } finally {
    givenError = above;
  }
}

/// Returns the error of a call whose failure an instrumentation is told at this moment, or `undefined`.
function currentError() {
  return givenError;
}

function guardListener(listener, name) {
  return function (...values) {
    try {
      return runGiven(listener, this, values);
    } catch (error) {
      report(name, error);
    }
  };
}

/// Returns a handler of a promise's outcome that fails only with this outcome. Nobody may wait for the handler, so that its other
/// failures would end the process. `settle` gives the function the outcome of its call.
function guardHandler(handler, name) {
  if (typeof handler !== "function") return handler;
  return (outcome) => {
    try {
      return runGiven(handler, undefined, [outcome]);
    } catch (error) {
      if (error === outcome) throw error;
      report(name, error);
      return outcome;
    }
  };
}

/// Returns a wrapper as that of `_wrap`, inside of which the instrumentation's own runs.
function guard(wrapper, name) {
  return (original, ...others) => {
    // The call that the instrumentation has got. Calls below it are others.
    let current;
    function relay(...values) {
      const call = current;
      if (call === undefined) return Reflect.apply(original, this, values);
      current = undefined;
      try {
        return call.run(this, values);
      } finally {
        current = call;
      }
    }
    const patched = wrapper(named(relay, original), ...others);
    return named(function (...values) {
      const above = current;
      const call = new Call(original, this, values, name);
      current = call;
      try {
        return call.runBelow(patched);
      } finally {
        current = above;
      }
    }, patched);
  };
}

/// Gives a function the name and the length of another one.
function named(made, { name, length }) {
  return Object.defineProperties(made, {
    name: { value: name, configurable: true },
    length: { value: length, configurable: true },
  });
}

/// The function's call in the hands of an instrumentation. It runs once, and remembers its outcome.
class Call {
  constructor(original, self, values, name) {
    this.original = original;
    this.self = self;
    this.values = values;
    this.name = name;
    this.hasRun = false;
    this.hasFailed = false;
    /// The result, or the exception of a call that has failed.
    this.value = undefined;
    /// The function's callbacks by those that the instrumentation gets.
    this.callbacks = undefined;
    /// Gives what the call has returned its own methods again.
    this.release = undefined;
  }

  /// Runs the call below a patched function.
  runBelow(patched) {
    let result;
    const own = this.values.map(settlingOf);
    try {
      result = Reflect.apply(patched, this.self, this.values.map(this.noted, this));
    } catch (error) {
      if (this.isOwn(error)) throw error;
      report(this.name, error);
      return this.complete();
    } finally {
      this.release?.();
      this.values.forEach((value, index) => guardSettling(value, own[index], this.name));
    }
    if (this.hasFailed) throw this.value;
    return types.isPromise(result) && result !== this.value ? this.settle(result) : result;
  }

  isOwn(error) {
    return this.hasFailed && error === this.value;
  }

  /// Runs the call for the instrumentation, which may have changed the arguments.
  run(self, values) {
    if (this.hasRun) return this.complete();
    this.hasRun = true;
    try {
      this.value = Reflect.apply(this.original, self, values.map(this.guardCallback, this));
    } catch (error) {
      this.hasFailed = true;
      this.value = error;
      throw error;
    }
    this.release = guardHandlers(this.value, this.name);
    return this.value;
  }

  /// Returns the outcome of the call, which runs now if it has not.
  complete() {
    if (!this.hasRun) return Reflect.apply(this.original, this.self, this.values);
    if (this.hasFailed) throw this.value;
    return this.value;
  }

  /// Returns the outcome of the call for an instrumentation that returns another promise.
  async settle(promise) {
    let result;
    try {
      result = await promise;
    } catch (error) {
      if (this.isOwn(error) || (await isReasonOf(this.value, error))) throw error;
      report(this.name, error);
      return this.complete();
    }
    // The instrumentation may have hidden a failure.
    if (types.isPromise(this.value)) await this.value;
    return result;
  }

  /// Returns a callback of the function that notes its call. Other values stay as they are.
  noted(value) {
    if (typeof value !== "function") return value;
    const callback = { value, isCalled: false, error: undefined };
    const noted = named(function (...values) {
      callback.isCalled = true;
      try {
        return Reflect.apply(value, this, values);
      } catch (error) {
        callback.error = error;
        throw error;
      }
    }, value);
    this.callbacks ??= new Map();
    this.callbacks.set(noted, callback);
    return noted;
  }

  /// Returns a callback of the instrumentation that calls the function's after a failure. The function's own stays as it is.
  guardCallback(value) {
    if (typeof value !== "function" || this.callbacks === undefined) return value;
    const own = this.callbacks.get(value);
    if (own !== undefined) return own.value;
    const [callback] = [...this.callbacks.values()].slice(-1);
    const { name } = this;
    return named(function (...values) {
      try {
        return runGiven(value, this, values);
      } catch (error) {
        if (callback.isCalled && error === callback.error) throw error;
        report(name, error);
        return callback.isCalled ? undefined : Reflect.apply(callback.value, this, values);
      }
    }, value);
  }
}

/// Functions of an argument that settle the call, such as those of a command of ioredis. An instrumentation replaces them.
const SETTLING = ["callback", "reject", "resolve"];

function settlingOf(value) {
  if (typeof value !== "object" || value === null) return [];
  return SETTLING.map((name) => Object.getOwnPropertyDescriptor(value, name)?.value);
}

/// Guards the functions that the instrumentation has put in the place of an argument's own. After a failure, the own one settles the
/// call, which has no effect if it has done so before.
function guardSettling(value, own, name) {
  settlingOf(value).forEach((replaced, index) => {
    const original = own[index];
    if (typeof original !== "function" || typeof replaced !== "function" || replaced === original) return;
    value[SETTLING[index]] = function (...values) {
      try {
        return runGiven(replaced, this, values);
      } catch (error) {
        report(name, error);
        return original.apply(this, values);
      }
    };
  });
}

async function isReasonOf(promise, error) {
  try {
    await promise;
  } catch (reason) {
    return reason === error;
  }
  return false;
}

/// Guards the handlers that are added to a value, until the returned function is called.
function guardHandlers(value, name) {
  if (typeof value !== "object" || value === null || !Object.isExtensible(value)) return undefined;
  let isOpen = true;
  const guarded = new Map();
  for (const method of ADDING) {
    const add = value[method];
    if (typeof add !== "function" || Object.hasOwn(value, method)) continue;
    const guardedAdd = function (...values) {
      return add.apply(this, isOpen ? guardedValues(method, values, name) : values);
    };
    guarded.set(method, guardedAdd);
    Object.defineProperty(value, method, { value: guardedAdd, configurable: true, writable: true, enumerable: false });
  }
  return () => {
    isOpen = false;
    // A context manager may have wrapped the method. It then calls the original one.
    for (const [method, guardedAdd] of guarded) {
      if (Object.getOwnPropertyDescriptor(value, method)?.value === guardedAdd) delete value[method];
    }
  };
}

/// Returns the arguments of a method that adds handlers, with guarded ones.
function guardedValues(method, values, name) {
  if (method === "then") return values.map((handler) => guardHandler(handler, name));
  return values.map((value) => (typeof value === "function" ? guardNested(value, name) : value));
}

/// Returns a listener that does not fail, as the listeners that it adds to its values do not.
function guardNested(listener, name) {
  return function (...values) {
    const releases = values.map((value) => guardHandlers(value, name));
    try {
      return runGiven(listener, this, values);
    } catch (error) {
      report(name, error);
    } finally {
      for (const release of releases) release?.();
    }
  };
}

module.exports = { Call, currentError, guardInstrumentation, guardListener };
