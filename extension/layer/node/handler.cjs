// Creates a SERVER span for each invocation, and writes all spans before the runtime gets the response. A handler may return a
// promise or a value, take a callback, use the context, or write to a stream. The wrapped handler keeps its form.
//
// Source: Lambda Developer Guide, "Define Lambda function handler in Node.js"; OpenTelemetry's semantic conventions, "AWS
// Lambda".

"use strict";

const { withinTime } = require("./bound.cjs");
const { types } = require("node:util");
const { Ending, OF_CALLBACK, isPromise, thenable } = require("./ending.cjs");
const { describe: describeEvent } = require("./events.cjs");
const { callerOf, recordFailure } = require("./failure.cjs");
const { attributesOf, parentOf } = require("./invocation.cjs");
const { wait } = require("./waiting.cjs");

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
/// Status codes of streamed HTTP responses, by stream.
const statusCodes = new WeakMap();

/// Returns the module's exports with the wrapped handler, which must be a function.
function replaceHandler(load, sdk, exports, name) {
  const names = name.split(".");
  const handler = names.reduce((holder, name) => holder[name], exports);
  noteStatusCodes();
  return withValue(exports, names, wrap(load, sdk, handler));
}

/// Returns the object with this value at this path, or a copy if a property cannot be assigned.
function withValue(holder, [name, ...deeper], value) {
  const own = deeper.length === 0 ? value : withValue(holder[name], deeper, value);
  try {
    holder[name] = own;
    if (holder[name] === own) return holder;
  } catch {
    // Exports of a bundle may be getters, and an ES module's names cannot be assigned.
  }
  const copy = Object.create(Object.getPrototypeOf(holder));
  for (const key of Reflect.ownKeys(holder)) {
    Object.defineProperty(copy, key, { ...Object.getOwnPropertyDescriptor(holder, key), configurable: true });
  }
  return Object.defineProperty(copy, name, { value: own, enumerable: true, configurable: true });
}

/// Wraps `HttpResponseStream.from`, the only source of a streamed HTTP response's status code.
function noteStatusCodes() {
  const responses = globalThis.awslambda?.HttpResponseStream;
  if (typeof responses?.from !== "function") return;
  const { from } = responses;
  responses.from = function (stream, metadata, ...others) {
    const made = from.call(this, stream, metadata, ...others);
    statusCodes.set(stream, metadata?.statusCode);
    return made;
  };
}

function wrap(load, { tracers, cutOffs, contexts }, handler) {
  const api = load("@opentelemetry/api");
  // Marks an invocation's context: a handler that calls itself gets no second span.
  const within = api.createContextKey("lambda-otlp: invocation");
  /// The frames of the runtime that calls the handler.
  let caller;
  const isInferred = ["true", "1"].includes((process.env.LAMBDA_OTLP_INFERRED_SPANS ?? "").trim().toLowerCase());
  // Lambda initializes environments of these types before the first invocation, so that it is no cold start.
  let isColdStart = !["provisioned-concurrency", "lambda-managed-instances"].includes(process.env.AWS_LAMBDA_INITIALIZATION_TYPE);

  function begin(event, lambda) {
    // The sender of an event chooses its content, which may make any of these steps fail.
    try {
      const tracer = tracers.getTracer("lambda-otlp/handler");
      const described = describeEvent(api, event);
      const parent = parentOf(api, described.carrier, lambda);
      const attributes = {
        ...attributesOf(lambda, api.trace.getSpanContext(parent)),
        "faas.trigger": described.trigger,
        "faas.coldstart": isColdStart,
        ...described.attributes,
      };
      isColdStart = false;
      const name = described.name ?? lambda.functionName;
      const span = tracer.startSpan(name, { kind: api.SpanKind.SERVER, attributes }, parent);
      const context = api.trace.setSpan(parent, span).setValue(within, true);
      if (isInferred) wait(tracer, described, context);
      const watched = watch(span, lambda, context);
      const isDurable = typeof event?.DurableExecutionArn === "string";
      const invocation = { span, lambda, watched, isDurable, context: watched?.context ?? context };
      return described.messages === undefined ? invocation : consume(tracer, described.messages, invocation);
    } catch (error) {
      say(`cannot create the invocation's span: ${error}`);
      return undefined;
    }
  }

  /// Starts the CONSUMER span in which the handler of messages runs, as a child of the invocation's span.
  function consume(tracer, { source, attributes, links }, invocation) {
    const consumer = tracer.startSpan(
      `${source} process`.trim(),
      { kind: api.SpanKind.CONSUMER, attributes, links },
      invocation.context,
    );
    return { ...invocation, consumer, context: api.trace.setSpan(invocation.context, consumer) };
  }

  /// Schedules the export of the invocation's spans shortly before its timeout.
  function watch(span, lambda, context) {
    try {
      return cutOffs?.begin(span, lambda, context, () => tracers.forceFlush());
    } catch (error) {
      say(`cannot watch the deadline: if this invocation times out, its open spans are lost: ${error}`);
      return undefined;
    }
  }

  /// Ends the spans and flushes them within the time limit. Never fails, for any exporter error and any result of the handler.
  async function end({ span, consumer, lambda, watched, isDurable }, outcome) {
    if (watched !== undefined) cutOffs.end(watched);
    if (outcome.hasFailed) require("./frames.cjs").cutFrames(outcome.value, caller);
    try {
      if (consumer !== undefined && outcome.hasFailed) consumer.setStatus({ code: api.SpanStatusCode.ERROR });
      describe(span, consumer, isDurable, outcome);
    } catch {
      // Access to the handler's result may throw. The runtime gets the result all the same.
    }
    try {
      if (watched !== undefined) cutOffs.endAnswered(watched);
      consumer?.end();
      span.end();
      await withinTime(() => tracers.forceFlush(), lambda);
    } catch (error) {
      say(`cannot export the invocation's spans: ${error}`);
    }
  }

  function describe(span, consumer, isDurable, { hasFailed, value, answer, error, streamed }) {
    const failure = hasFailed ? value : (error ?? (isDurable ? durableFailure(answer) : undefined));
    if (hasFailed || failure !== undefined) {
      const { name, message } = recordFailure(api, span, failure);
      span.setAttribute("error.type", name);
      return markFailed(consumer, name, message);
    }
    const stated = streamed ?? answer?.statusCode;
    const status = typeof stated === "string" && /^\d+$/.test(stated) ? Number(stated) : stated;
    const isStatus = Number.isInteger(status) && status >= 100 && status <= 999;
    if (isStatus) span.setAttribute("http.response.status_code", status);
    if (isStatus && status >= 500) markFailed(span, String(status));
    const failures = answer?.batchItemFailures;
    if (!Array.isArray(failures) || failures.length === 0) return;
    const message = `${failures.length} of the batch's messages failed; Lambda delivers them again`;
    span.setAttribute("aws.lambda.batch_item_failures", failures.length);
    for (const each of [span, consumer]) markFailed(each, "batch_item_failures", message);
  }

  function markFailed(span, type, message) {
    span?.setAttribute("error.type", type);
    span?.setStatus({ code: api.SpanStatusCode.ERROR, message });
  }

  const isStreaming = handler[STREAMING] !== undefined;
  const succeeded = (value) => ({ hasFailed: false, value, ...(isStreaming ? { answer: value } : serializedOnce(value)) });

  function call(self, event, ...others) {
    const isInner = api.context.active().getValue(within) === true;
    const invocation = isInner ? undefined : begin(event, isStreaming ? others[1] : others[0]);
    if (invocation === undefined) return handler.call(self, event, ...others);
    const own = contexts.begin(invocation.context);
    const ending = new Ending(
      (outcome) => {
        own.end();
        return end(invocation, { ...outcome, streamed: statusCodes.get(others[0]) });
      },
      (action) => api.context.with(api.ROOT_CONTEXT, action),
      succeeded,
    );
    const callback = others[1];
    const takesCallback = !isStreaming && typeof callback === "function";
    if (takesCallback) {
      others[1] = ending.answering(callback, OF_CALLBACK);
      ending.watch(others[0]);
      ending.thrown = callback;
    }
    const unsettled = isAsync(handler)
      ? { hasFailed: true, value: "the handler's promise never settled" }
      : { hasFailed: false, value: undefined };
    let returned;
    try {
      returned = api.context.with(own.context, () => handler.call(receiver.of(self), event, ...others));
    } catch (error) {
      // The runtime passes a thrown value to the callback too. It is no failure if it is `null` or `undefined`.
      if (takesCallback) return void others[1](error);
      return ending.before({ hasFailed: true, value: error }).then(() => {
        throw error;
      });
    } finally {
      ending.thrown = undefined;
    }
    if (isPromise(returned)) {
      ending.whenIdle(returned, unsettled);
      if (!types.isPromise(returned)) return thenable(returned, ending, (action) => api.context.with(own.context, action));
      return returned.then(
        (value) => ending.succeed(value),
        (error) =>
          ending.before({ hasFailed: true, value: error }).then(() => {
            throw error;
          }),
      );
    }
    // A runtime with callbacks ignores a returned value. It waits for an answer or an idle event loop.
    if (takesCallback) return ending.whenIdle(returned);
    return ending.succeed(returned);
  }

  // A proxy looks like the handler: its length, symbols and type tell the runtime whether it takes a callback or a stream, and
  // the function may keep values in its properties.
  const proxy = new Proxy(handler, {
    apply: function enter(_handler, self, values) {
      caller ??= callerOf(enter, __filename, true);
      return call(self, ...values);
    },
  });
  const receiver = new Receiver(proxy, handler);
  return proxy;
}

/// The object that calls the handler as one of its properties. Node names this property in stacks, as in `Runtime.work [as
/// handler]`, if it holds the handler itself.
class Receiver {
  constructor(proxy, handler) {
    Object.assign(this, { proxy, handler, self: undefined, made: undefined });
  }

  /// Returns an object that inherits from `self`, and has the handler in place of the proxy.
  of(self) {
    if (typeof self !== "object" || self === null) return self;
    if (self === this.self) return this.made;
    const name = Object.keys(self).find((name) => Object.getOwnPropertyDescriptor(self, name)?.value === this.proxy);
    this.self = self;
    this.made =
      name === undefined
        ? self
        : Object.create(self, { [name]: { value: this.handler, writable: true, enumerable: true, configurable: true } });
    return this.made;
  }
}

// Limits of the copy of a result.
const MOST_VALUES = 10000;
const MOST_LEVELS = 500;

// Methods of Node's own objects, which do not fail.
const OF_NODE = [Date, Buffer, URL].map(({ prototype }) => prototype.toJSON);

/// The reasons for which a result is not copied.
const RUNS_CODE = Symbol("its serialization may fail or run code of the function");
const TOO_LARGE = Symbol("its copy would take longer than the export of the spans");

/// Returns a copy of what the serialization of a result reads, or the reason for which there is none. The serialization runs code
/// of the function, or fails, if the result has a BigInt, an object that contains itself, a getter, `toJSON` or a proxy.
function copied(value, above = new Set(), seen = { values: 0 }) {
  if (typeof value === "bigint") return RUNS_CODE;
  if (typeof value !== "object" || value === null) return value;
  if (types.isProxy(value)) return RUNS_CODE;
  if (typeof value.toJSON === "function") return OF_NODE.includes(value.toJSON) ? value.toJSON() : RUNS_CODE;
  if (types.isBoxedPrimitive(value)) return value;
  if (above.has(value) || above.size >= MOST_LEVELS) return RUNS_CODE;
  const names = Array.isArray(value) ? value.keys() : Object.keys(value);
  const copy = Array.isArray(value) ? [] : {};
  above.add(value);
  for (const name of names) {
    seen.values += 1;
    if (seen.values > MOST_VALUES) return TOO_LARGE;
    const { get, value: own } = Object.getOwnPropertyDescriptor(value, name) ?? {};
    // An assignment to the name `__proto__` would add no property.
    if (get !== undefined || name === "__proto__") return RUNS_CODE;
    const inner = copied(own, above, seen);
    if (inner === RUNS_CODE || inner === TOO_LARGE) return inner;
    copy[name] = inner;
  }
  above.delete(value);
  return copy;
}

function copyOf(value) {
  try {
    return copied(value);
  } catch {
    // The function may have given an object of its own a method of Node, or may have replaced what that method calls.
    return RUNS_CODE;
  }
}

/// Returns the answer for the runtime, which serializes it after the export of the spans: the result's present content, which the
/// function may change in the meantime. Code of the function that the serialization runs does so once, as without the layer. If
/// it fails, returns the error, with which the answer fails too.
function serializedOnce(value) {
  const copy = copyOf(value);
  if (copy === TOO_LARGE) return { answer: value };
  if (copy !== RUNS_CODE) return { answer: copy, isCopy: true };
  try {
    const text = JSON.stringify(value);
    // The runtime sends an empty answer for an object without JSON.
    return { answer: text === undefined ? { toJSON() {} } : JSON.parse(text) };
  } catch (error) {
    const toJSON = () => {
      throw error;
    };
    return { answer: { toJSON }, error };
  }
}

/// Returns the failure in the answer of a durable function, which reports it as a result.
///
/// Source: Lambda API Reference, "ErrorObject"; Lambda Developer Guide, "Durable functions".
function durableFailure(answer) {
  if (answer?.Status !== "FAILED") return undefined;
  const failure = new Error(String(answer.Error?.ErrorMessage ?? "the durable execution failed"));
  failure.name = String(answer.Error?.ErrorType ?? "Error");
  const trace = answer.Error?.StackTrace;
  failure.stack = Array.isArray(trace) ? trace.join("\n") : undefined;
  return failure;
}

/// Returns `true` if Lambda's runtime treats the handler as an async function.
function isAsync(handler) {
  return handler.constructor?.name === "AsyncFunction";
}

function say(text) {
  process.stderr.write(`lambda-otlp-handler: ${text}\n`);
}

module.exports = { replaceHandler };
