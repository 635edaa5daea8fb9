// Makes each invocation a SERVER span, and has all spans written before the runtime gets the response. Handlers are functions that
// return a promise or a value, take a callback, use the context, or write to a stream: each stays what it was.
//
// Source: Lambda Developer Guide, "Define Lambda function handler in Node.js"; OpenTelemetry's semantic conventions, "AWS Lambda".

"use strict";

const { withinTime } = require("./bound.cjs");
const { Ending, isPromise } = require("./ending.cjs");
const { recordFailure } = require("./failure.cjs");
const { messages } = require("./messages.cjs");
const { wait } = require("./waiting.cjs");

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
/// The status codes of streamed HTTP responses, by their streams.
const statusCodes = new WeakMap();

/// The module's exports with the wrapped handler in them.
function replaceHandler(load, sdk, exports, name) {
  const names = name.split(".");
  const last = names.pop();
  const holder = names.reduce((holder, name) => holder?.[name], exports);
  const handler = holder?.[last];
  if (typeof handler !== "function") return exports;
  const wrapped = wrap(load, sdk, handler);
  noteStatusCodes();
  try {
    holder[last] = wrapped;
    if (holder[last] === wrapped) return exports;
  } catch {
    // A bundler's exports are getters that cannot be changed.
  }
  if (holder !== exports) return exports;
  const copy = Object.create(Object.getPrototypeOf(exports));
  for (const key of Reflect.ownKeys(exports)) {
    Object.defineProperty(copy, key, { ...Object.getOwnPropertyDescriptor(exports, key), configurable: true });
  }
  return Object.defineProperty(copy, last, { value: wrapped, enumerable: true, configurable: true });
}

/// A streamed HTTP response says its status code only here.
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

function wrap(load, { tracers, cutOffs }, handler) {
  const api = load("@opentelemetry/api");
  // A handler that calls itself is within its invocation.
  const within = api.createContextKey("lambda-otlp: invocation");
  const isInferred = ["true", "1"].includes((process.env.LAMBDA_OTLP_INFERRED_SPANS ?? "").trim().toLowerCase());
  // The environments of these types are ready before there is an invocation.
  let isColdStart = !["provisioned-concurrency", "lambda-managed-instances"].includes(process.env.AWS_LAMBDA_INITIALIZATION_TYPE);

  function begin(event, lambda) {
    // An event may be anything that its sender likes.
    try {
      const tracer = tracers.getTracer("lambda-otlp/handler");
      const parent = api.propagation.extract(api.ROOT_CONTEXT, headers(event));
      const batch = messages(api, event);
      const ofTrigger = batch && { "faas.trigger": batch.trigger };
      const attributes = { ...ofInvocation(lambda), ...ofRequest(event), ...ofTrigger, "faas.coldstart": isColdStart };
      isColdStart = false;
      const span = tracer.startSpan(lambda.functionName, { kind: api.SpanKind.SERVER, attributes }, parent);
      const context = api.trace.setSpan(parent, span).setValue(within, true);
      if (isInferred) wait(tracer, event, batch, context);
      const watched = watch(span, lambda, context);
      const invocation = { span, lambda, watched, context: watched?.context ?? context };
      return batch === undefined ? invocation : consume(tracer, batch, invocation);
    } catch (error) {
      say(`cannot create the invocation's span: ${error}`);
      return undefined;
    }
  }

  /// The handler of messages runs in a CONSUMER span below the invocation's.
  function consume(tracer, { name, attributes, links }, invocation) {
    const consumer = tracer.startSpan(name, { kind: api.SpanKind.CONSUMER, attributes, links }, invocation.context);
    return { ...invocation, consumer, context: api.trace.setSpan(invocation.context, consumer) };
  }

  /// Has what there is exported before the invocation times out.
  function watch(span, lambda, context) {
    try {
      return cutOffs?.begin(span, lambda, context, () => tracers.forceFlush());
    } catch (error) {
      say(`cannot watch the deadline, so a timeout of this invocation loses its spans: ${error}`);
      return undefined;
    }
  }

  /// Never fails and never takes long, whatever the exporter does and whatever it is that the handler ended with.
  async function end({ span, consumer, lambda, watched }, outcome) {
    if (watched !== undefined) cutOffs.end(watched);
    try {
      if (consumer !== undefined && outcome.hasFailed) consumer.setStatus({ code: api.SpanStatusCode.ERROR });
      describe(span, consumer, outcome);
    } catch {
      // What a handler ends with may be an object that nobody can look at. The runtime gets it all the same.
    }
    try {
      if (watched !== undefined) cutOffs.endAnswered(watched);
      consumer?.end();
      span.end();
      await withinTime(() => tracers.forceFlush(), lambda);
    } catch (error) {
      say(`cannot write the invocation's spans: ${error}`);
    }
  }

  function describe(span, consumer, { hasFailed, value, streamed }) {
    if (hasFailed) return span.setAttribute("error.type", recordFailure(api, span, value).name);
    const stated = streamed ?? value?.statusCode;
    const status = typeof stated === "string" && /^\d{3}$/.test(stated) ? Number(stated) : stated;
    if (typeof status === "number") span.setAttribute("http.response.status_code", status);
    if (status >= 500) {
      span.setAttribute("error.type", String(status));
      span.setStatus({ code: api.SpanStatusCode.ERROR });
    }
    const failures = value?.batchItemFailures;
    if (!Array.isArray(failures) || failures.length === 0) return;
    const message = `${failures.length} of the batch failed, and Lambda gives them again`;
    span.setAttribute("aws.lambda.batch_item_failures", failures.length);
    span.setAttribute("error.type", "batch_item_failures");
    for (const each of [span, consumer]) each?.setStatus({ code: api.SpanStatusCode.ERROR, message });
  }

  function wrapped(event, ...others) {
    const isStreaming = handler[STREAMING] !== undefined;
    const isInner = api.context.active().getValue(within) === true;
    const invocation = isInner ? undefined : begin(event, isStreaming ? others[1] : others[0]);
    if (invocation === undefined) return handler.call(this, event, ...others);
    const ending = new Ending(
      (outcome) => end(invocation, { ...outcome, streamed: statusCodes.get(others[0]) }),
      (action) => api.context.with(api.ROOT_CONTEXT, action),
    );
    const callback = others[1];
    const takesCallback = !isStreaming && typeof callback === "function";
    if (takesCallback) {
      others[1] = ending.answering(callback, failed);
      ending.watch(others[0]);
      ending.thrown = callback;
    }
    const unsettled = isAsync(handler)
      ? { hasFailed: true, value: "the handler's promise never settled" }
      : { hasFailed: false, value: undefined };
    let returned;
    try {
      returned = api.context.with(invocation.context, () => handler.call(this, event, ...others));
    } catch (error) {
      // The runtime would do this, with what it takes for a failure.
      if (takesCallback) return void others[1](error);
      return ending.before({ hasFailed: true, value: error }).then(() => {
        throw error;
      });
    } finally {
      ending.thrown = undefined;
    }
    if (isPromise(returned)) {
      ending.whenIdle(returned, unsettled);
      return Promise.resolve(returned).then(
        (value) => ending.before({ hasFailed: false, value }).then(() => value),
        (error) => ending.before({ hasFailed: true, value: error }).then(() => {
          throw error;
        }),
      );
    }
    // A runtime with callbacks takes no value, but waits for an answer, or until nothing is under way any more.
    if (takesCallback) return ending.whenIdle(returned);
    return ending.before({ hasFailed: false, value: returned }).then(() => returned);
  }

  // The runtime looks at all of these: a handler with three parameters takes a callback, one with the symbol a stream, and an async
  // function whose promise never settles has failed, where any other function has answered with null.
  Object.setPrototypeOf(wrapped, Object.getPrototypeOf(handler));
  Object.defineProperty(wrapped, "length", { value: handler.length, configurable: true });
  Object.defineProperty(wrapped, "name", { value: handler.name, configurable: true });
  for (const symbol of Object.getOwnPropertySymbols(handler)) wrapped[symbol] = handler[symbol];
  return wrapped;
}

/// Of several values of a header, which a load balancer may send instead, the first one counts.
function headers(event) {
  const carrier = {};
  for (const found of [event?.headers, event?.multiValueHeaders]) {
    if (found === null || typeof found !== "object") continue;
    for (const [name, values] of Object.entries(found)) {
      const value = Array.isArray(values) ? values[0] : values;
      if (typeof value === "string") carrier[name.toLowerCase()] = value;
    }
  }
  return carrier;
}

function ofInvocation({ awsRequestId, invokedFunctionArn }) {
  const parts = invokedFunctionArn?.split(":") ?? [];
  return {
    "faas.invocation_id": awsRequestId,
    // Without an alias or a version.
    "cloud.resource_id": parts.slice(0, 7).join(":"),
    "cloud.account.id": parts[4],
  };
}

/// What API Gateway, a load balancer or a function URL says of an HTTP request.
function ofRequest(event) {
  const http = event?.requestContext?.http;
  const method = http?.method ?? event?.httpMethod;
  const path = event?.rawPath ?? event?.path;
  if (typeof method !== "string" || typeof path !== "string") return {};
  const { resource, routeKey } = event;
  const route = resource ?? (typeof routeKey === "string" ? routeKey.split(" ")[1] : undefined);
  return {
    "faas.trigger": "http",
    "http.request.method": method,
    "url.path": path,
    ...(typeof route === "string" && { "http.route": route }),
  };
}

/// As Lambda's runtime sees it.
function isAsync(handler) {
  return handler.constructor?.name === "AsyncFunction";
}

/// What a callback gets is a failure unless its first argument is nothing.
function failed(failure, result) {
  const hasFailed = failure !== undefined && failure !== null;
  return { hasFailed, value: hasFailed ? failure : result };
}

function say(text) {
  process.stderr.write(`lambda-otlp-handler: ${text}\n`);
}

module.exports = { replaceHandler };
