// Creates a SERVER span for each invocation, and writes all spans before the runtime gets the response. A handler may return a
// promise or a value, take a callback, use the context, or write to a stream. The wrapped handler keeps its form.
//
// Source: Lambda Developer Guide, "Define Lambda function handler in Node.js"; OpenTelemetry's semantic conventions, "AWS
// Lambda".

"use strict";

const { types } = require("node:util");
const { flushInTime, timeLeft } = require("./bound.cjs");
const { say } = require("./originals.cjs");
const { Ending, OF_CALLBACK, isPromise, thenable } = require("./ending.cjs");
const { answers, at, describe: describeEvent, description, holdsFor, readValue } = require("./events.cjs");
const { callerOf, recordFailure } = require("./failure.cjs");
const { attributesOf, parentOf } = require("./invocation.cjs");
const { recordWait } = require("./waiting.cjs");

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
/// Types of environments that Lambda initializes before the first invocation, so that it is no cold start.
const INITIALIZED = ["provisioned-concurrency", "lambda-managed-instances"];
/// Status codes of streamed HTTP responses, by stream.
const statusCodes = new WeakMap();

/// Returns the module's exports with the wrapped handler, which must be a function.
function replaceHandler(load, sdk, exports, name) {
  const names = name.split(".");
  const handler = names.reduce((holder, name) => holder[name], exports);
  noteStatusCodes();
  return withValue(exports, names, new Wrapper(load, sdk, handler).proxy);
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

/// Begins and ends the invocations of one handler.
class Wrapper {
  constructor(load, { tracers, cutOffs, contexts, samples, useIds }, handler) {
    this.api = load("@opentelemetry/api");
    this.tracers = tracers;
    this.samples = samples;
    this.useIds = useIds;
    this.cutOffs = cutOffs;
    this.contexts = contexts;
    this.handler = handler;
    this.isStreaming = handler[STREAMING] !== undefined;
    // Marks an invocation's context: a handler that calls itself gets no second span.
    this.withinKey = this.api.createContextKey("lambda-otlp: invocation");
    this.recordsWait = ["true", "1"].includes((process.env.LAMBDA_OTLP_INFERRED_SPANS ?? "").trim().toLowerCase());
    this.isColdStart = !INITIALIZED.includes(process.env.AWS_LAMBDA_INITIALIZATION_TYPE);
    this.proxy = this.wrap(handler);
    this.receiver = new Receiver(this.proxy, handler);
    /// The frames of the runtime that calls the handler.
    this.caller = undefined;
  }

  /// Returns the function that the runtime calls instead of the handler. A proxy looks like the handler: its length, symbols and
  /// type tell the runtime whether it takes a callback or a stream, and the function may keep values in its properties.
  wrap(handler) {
    const wrapper = this;
    return new Proxy(handler, {
      apply: function enter(_handler, self, values) {
        wrapper.caller ??= callerOf(enter, __filename, true);
        return wrapper.call(self, ...values);
      },
    });
  }

  /// Runs the handler. Stacks that the handler reads show the frames from `enter` to the handler, so there are no more of them.
  call(self, event, ...others) {
    const isInner = this.api.context.active().getValue(this.withinKey) === true;
    const invocation = isInner ? undefined : this.begin(event, this.isStreaming ? others[1] : others[0]);
    if (invocation === undefined) return this.handler.call(self, event, ...others);
    const { context, end: endContext } = this.contexts.begin(invocation.context);
    const ending = this.endingOf(invocation, endContext, others[0]);
    const { callback, passed } = this.wrapAnswers(ending, others);
    let returned;
    try {
      returned = this.api.context.with(context, () => this.handler.call(this.receiver.of(self), event, ...passed));
    } catch (error) {
      // The runtime passes a thrown value to the callback too. It is no failure if it is `null` or `undefined`.
      if (callback !== undefined) return void callback(error);
      return ending.fail(error);
    } finally {
      ending.callbackForErrors = undefined;
    }
    if (isPromise(returned)) return this.settle(returned, ending, context);
    // A runtime with callbacks ignores a returned value. It waits for an answer or an idle event loop.
    if (callback !== undefined) {
      ending.endWhenIdle({ hasFailed: false, value: undefined });
      return returned;
    }
    return ending.succeed(returned);
  }

  /// Starts the spans of an invocation. Returns them with the context in which the handler runs and, if its deadline is watched,
  /// the tracking of `CutOffs`. Returns `undefined` if they cannot be created.
  begin(event, lambda) {
    // The sender of an event chooses its content, which may make any of these steps fail.
    try {
      const tracer = this.tracers.getTracer("lambda-otlp/handler");
      const isDurable = holdsFor(event, description.durable.when);
      const execution = isDurable ? require("./executions.cjs").durableOf(event, lambda) : undefined;
      const described = describeEvent(this.api, execution === undefined ? event : execution.input);
      const { server, context } = this.startServer(tracer, described, lambda, execution);
      const watched = this.watch(server, lambda, context);
      const serverContext = watched?.context ?? context;
      const consumer = described.messages && this.startConsumer(tracer, described.messages, serverContext);
      const endExecution = (...outcome) => execution.write(this.api, tracer, this.useIds, ...outcome);
      const spans = new Spans(this.api, server, consumer, execution && endExecution);
      const handlerContext = consumer === undefined ? serverContext : this.api.trace.setSpan(serverContext, consumer);
      return { spans, lambda, watched, context: handlerContext };
    } catch (error) {
      say(`cannot create the invocation's span: ${error}`);
      return undefined;
    }
  }

  startServer(tracer, described, lambda, execution) {
    const { api } = this;
    const caller = parentOf(api, described.carrier, lambda);
    const { parent, links } = execution?.begin(api, caller, this.samples) ?? { parent: caller };
    const attributes = {
      ...attributesOf(lambda, api.trace.getSpanContext(caller)),
      "faas.trigger": described.trigger,
      "faas.coldstart": this.isColdStart,
      ...described.attributes,
      ...execution?.attributes,
    };
    this.isColdStart = false;
    const name = described.name ?? lambda.functionName;
    const server = tracer.startSpan(name, { kind: api.SpanKind.SERVER, attributes, links }, parent);
    const context = api.trace.setSpan(parent, server).setValue(this.withinKey, true);
    if (this.recordsWait) recordWait(tracer, described, context);
    return { server, context };
  }

  /// Starts the span in which the handler of messages runs, as a child of the invocation's span.
  startConsumer(tracer, { source, attributes, links }, context) {
    return tracer.startSpan(`${source} process`.trim(), { kind: this.api.SpanKind.CONSUMER, attributes, links }, context);
  }

  /// Schedules the export of the invocation's spans shortly before its timeout.
  watch(server, lambda, context) {
    try {
      return this.cutOffs?.begin(server, lambda, context, () => this.tracers.forceFlush());
    } catch (error) {
      say(`cannot watch the deadline: if this invocation times out, its open spans are lost: ${error}`);
      return undefined;
    }
  }

  /// Returns the ending of an invocation, which calls `endContext`. `stream` is the handler's second argument, which may be the
  /// stream of its response.
  endingOf(invocation, endContext, stream) {
    const end = (outcome) => {
      endContext();
      return this.end(invocation, { ...outcome, streamed: statusCodes.get(stream) });
    };
    const outside = (action) => this.api.context.with(this.api.ROOT_CONTEXT, action);
    return new Ending(end, outside, (result) => this.outcomeOf(result));
  }

  /// Lets the runtime's callback and context end the invocation. Returns the new callback, or `undefined` if there is none, and the
  /// handler's further arguments with it.
  wrapAnswers(ending, others) {
    const [lambda, callback, ...rest] = others;
    if (this.isStreaming || typeof callback !== "function") return { callback: undefined, passed: others };
    ending.wrapContext(lambda);
    ending.callbackForErrors = callback;
    const wrapped = ending.wrapRespond(callback, OF_CALLBACK);
    return { callback: wrapped, passed: [lambda, wrapped, ...rest] };
  }

  /// Ends the invocation when the promise of its handler settles.
  settle(promise, ending, context) {
    const unsettled = isAsync(this.handler)
      ? { hasFailed: true, value: new Error("the handler's promise never settled") }
      : { hasFailed: false, value: undefined };
    ending.endWhenIdle(unsettled);
    if (!types.isPromise(promise)) return thenable(promise, ending, (action) => this.api.context.with(context, action));
    return promise.then(
      (result) => ending.succeed(result),
      (error) => ending.fail(error),
    );
  }

  /// Returns the outcome of a handler with this result, and its answer for the runtime.
  outcomeOf(result) {
    const answer = this.isStreaming ? { answer: result } : serializedOnce(result);
    return { hasFailed: false, value: result, ...answer };
  }

  /// Ends the spans and flushes them within the time limit. Never fails, for any exporter error and any result of the handler.
  async end({ spans, lambda, watched }, outcome) {
    // Only on a managed instance, a handler can run past its deadline.
    const hasTimedOut = watched?.isCutOff === true && timeLeft(lambda) <= 0;
    if (watched !== undefined) this.cutOffs.end(watched);
    if (outcome.hasFailed) require("./frames.cjs").cutFrames(outcome.value, this.caller);
    try {
      spans.describe(outcome);
      if (hasTimedOut) spans.describeTimeout();
    } catch {
      // Access to the handler's result may throw. The runtime gets the result all the same.
    }
    try {
      if (watched !== undefined) this.cutOffs.endAnswered(watched);
      spans.end();
      await flushInTime(() => this.tracers.forceFlush(), lambda);
    } catch (error) {
      say(`cannot export the invocation's spans: ${error}`);
    }
  }
}

/// Lambda's error type of a result that the runtime cannot serialize.
const NOT_SERIALIZED = "Runtime.JSONStringifyError";

const TIMEOUT = "timeout";
const TIMED_OUT = "the invocation timed out";

/// The SERVER span of an invocation and, if it has messages, the CONSUMER span below, in which the handler runs.
class Spans {
  /// `writeExecution` writes the span of the durable execution; `undefined` for other functions.
  constructor(api, server, consumer, writeExecution) {
    this.api = api;
    this.server = server;
    this.consumer = consumer;
    this.writeExecution = writeExecution;
    /// Status and failure of the execution that this invocation ends.
    this.ended = undefined;
  }

  end() {
    this.consumer?.end();
    this.server.end();
    if (this.ended !== undefined) this.writeExecution(...this.ended);
  }

  markFailed(span, type, message) {
    span?.setAttribute("error.type", type);
    span?.setStatus({ code: this.api.SpanStatusCode.ERROR, message });
  }

  /// Records the outcome of the handler, which is a failure, or a result that may report one. The rules of results are data:
  /// `answers` in exporter/events.json.
  describe({ hasFailed, value, answer, error, streamed }) {
    // The description of the failure may fail.
    if (hasFailed) this.consumer?.setStatus({ code: this.api.SpanStatusCode.ERROR });
    if (!hasFailed && error !== undefined) return this.describeFailure(error, NOT_SERIALIZED);
    if (hasFailed) return this.describeFailure(value);
    if (this.writeExecution !== undefined) return this.describeDurable(answers.durable, answer);
    this.describeStatus(answers.http_status, streamed ?? at(answer, answers.http_status.at));
    this.describeFailedMessages(answers.failed_messages, answer);
  }

  /// Records what a durable function answers about its execution.
  describeDurable({ status: place, statuses, ended }, answer) {
    const status = at(answer, place);
    if (statuses.includes(status)) this.server.setAttribute(description.durable.attributes.status, status);
    const failure = durableFailure(answer);
    if (failure !== undefined) this.describeFailure(failure);
    if (holdsFor(answer, ended)) this.ended = [status, failure];
  }

  describeFailure(failure, stated) {
    const { name, message } = recordFailure(this.api, this.server, failure);
    const type = stated ?? name;
    this.server.setAttribute("error.type", type);
    this.markFailed(this.consumer, type, message);
  }

  /// Records that the handler ended after the deadline. Lambda has answered with a timeout, whatever the handler returned.
  describeTimeout() {
    // Lambda repeats the invocation, and the execution goes on.
    this.ended = undefined;
    this.markFailed(this.consumer, TIMEOUT, TIMED_OUT);
    this.markFailed(this.server, TIMEOUT, TIMED_OUT);
  }

  /// Records the status of an HTTP response.
  describeStatus({ least, greatest, least_failed, attribute }, stated) {
    const status = typeof stated === "string" && /^\d+$/.test(stated) ? Number(stated) : stated;
    if (!Number.isInteger(status) || status < least || status > greatest) return;
    this.server.setAttribute(attribute, status);
    if (status >= least_failed) this.markFailed(this.server, String(status));
  }

  /// Records the messages that the handler reports as failed.
  describeFailedMessages({ at: place, attribute, error_type, message: template }, answer) {
    const failures = at(answer, place);
    if (!Array.isArray(failures) || failures.length === 0) return;
    const message = template.replace("{count}", failures.length);
    this.server.setAttribute(attribute, failures.length);
    this.markFailed(this.server, error_type, message);
    this.markFailed(this.consumer, error_type, message);
  }
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
const MAX_VALUES = 10000;
const MAX_LEVELS = 500;

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
  // It is frozen, and its copy would be another object.
  if (JSON.isRawJSON?.(value)) return value;
  if (typeof value.toJSON === "function") return OF_NODE.includes(value.toJSON) ? value.toJSON() : RUNS_CODE;
  if (types.isBoxedPrimitive(value)) return value;
  if (above.has(value) || above.size >= MAX_LEVELS) return RUNS_CODE;
  const names = Array.isArray(value) ? value.keys() : Object.keys(value);
  const copy = Array.isArray(value) ? [] : {};
  above.add(value);
  for (const name of names) {
    seen.values += 1;
    if (seen.values > MAX_VALUES) return TOO_LARGE;
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
    return { answer: text === undefined ? { toJSON() {} } : parseExactly(text) };
  } catch (error) {
    const toJSON = () => {
      throw error;
    };
    return { answer: { toJSON }, error };
  }
}

/// Parses a text into a value that is serialized to the same text. Some texts of raw JSON, such as long numbers, have no such value.
function parseExactly(text) {
  if (typeof JSON.rawJSON !== "function") return JSON.parse(text);
  return JSON.parse(text, (_name, value, { source }) =>
    source === undefined || JSON.stringify(value) === source ? value : JSON.rawJSON(source),
  );
}

/// Returns the failure in the answer of a durable function, which reports it as a result.
function durableFailure(answer) {
  const { failed, error_type, message, stack_trace } = answers.durable;
  if (!holdsFor(answer, failed)) return undefined;
  const failure = new Error(readValue(message, answer));
  failure.name = readValue(error_type, answer);
  const trace = at(answer, stack_trace);
  failure.stack = Array.isArray(trace) ? trace.join("\n") : undefined;
  return failure;
}

/// Returns `true` if Lambda's runtime treats the handler as an async function.
function isAsync(handler) {
  return handler.constructor?.name === "AsyncFunction";
}

module.exports = { replaceHandler };
