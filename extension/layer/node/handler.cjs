// Makes each invocation a SERVER span, and has all spans written before the runtime gets the response. Handlers are functions that
// return a promise or a value, take a callback, or write to a stream: each stays what it was.
//
// Source: Lambda Developer Guide, "Define Lambda function handler in Node.js"; OpenTelemetry's semantic conventions, "AWS Lambda".

"use strict";

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");

/// The module's exports with the wrapped handler in them.
function replaceHandler(load, tracers, exports, name) {
  const names = name.split(".");
  const last = names.pop();
  const holder = names.reduce((holder, name) => holder?.[name], exports);
  const handler = holder?.[last];
  if (typeof handler !== "function") return exports;
  const wrapped = wrap(load, tracers, handler);
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

function wrap(load, tracers, handler) {
  const api = load("@opentelemetry/api");
  let isColdStart = process.env.AWS_LAMBDA_INITIALIZATION_TYPE !== "provisioned-concurrency";

  function begin(event, lambda) {
    // An event may be anything that its sender likes.
    try {
      const tracer = tracers.getTracer("lambda-otlp/handler");
      const parent = api.propagation.extract(api.ROOT_CONTEXT, headers(event));
      const attributes = { ...ofInvocation(lambda), ...ofRequest(event), "faas.coldstart": isColdStart };
      isColdStart = false;
      const span = tracer.startSpan(lambda.functionName, { kind: api.SpanKind.SERVER, attributes }, parent);
      return { span, context: api.trace.setSpan(parent, span) };
    } catch (error) {
      process.stderr.write(`lambda-otlp-handler: an invocation has no span: ${error}\n`);
      return undefined;
    }
  }

  /// Whatever the exporter does, the result is the handler's.
  async function end({ span }, failure, result) {
    if (failure !== undefined && failure !== null) {
      const error = failure instanceof Error ? failure : new Error(String(failure));
      span.recordException(error);
      span.setStatus({ code: api.SpanStatusCode.ERROR, message: error.message });
    }
    const status = result?.statusCode;
    if (typeof status === "number") span.setAttribute("http.response.status_code", status);
    if (failure === undefined && status >= 500) span.setStatus({ code: api.SpanStatusCode.ERROR });
    span.end();
    await tracers.forceFlush().catch(() => {});
  }

  function wrapped(event, ...others) {
    const isStreaming = handler[STREAMING] !== undefined;
    const invocation = begin(event, isStreaming ? others[1] : others[0]);
    if (invocation === undefined) return handler.call(this, event, ...others);
    let isCalledBack = false;
    const callback = others[1];
    if (!isStreaming && typeof callback === "function") {
      others[1] = (failure, result) => {
        if (isCalledBack) return;
        isCalledBack = true;
        end(invocation, failure ?? undefined, result).then(() => callback(failure, result));
      };
    }
    const settled = (failure, result) => (isCalledBack ? Promise.resolve() : end(invocation, failure, result));
    let returned;
    try {
      returned = api.context.with(invocation.context, () => handler.call(this, event, ...others));
    } catch (error) {
      return settled(error ?? new Error("thrown")).then(() => {
        throw error;
      });
    }
    if (typeof returned?.then === "function") {
      return returned.then(
        (result) => settled(undefined, result).then(() => result),
        (error) => settled(error ?? new Error("rejected")).then(() => {
          throw error;
        }),
      );
    }
    if (isStreaming || typeof callback !== "function") return settled(undefined, returned).then(() => returned);
    // A runtime with callbacks takes no value, waits for the callback or for all that is under way, which the flush is.
    const mayCallBack = returned === undefined && handler.length >= 3;
    if (!mayCallBack) settled();
    return returned;
  }

  // The runtime looks at both: a handler with three parameters takes a callback, and one with the symbol a stream.
  Object.defineProperty(wrapped, "length", { value: handler.length, configurable: true });
  Object.defineProperty(wrapped, "name", { value: handler.name, configurable: true });
  for (const symbol of Object.getOwnPropertySymbols(handler)) wrapped[symbol] = handler[symbol];
  return wrapped;
}

function headers(event) {
  const carrier = {};
  const found = event?.headers;
  if (found === null || typeof found !== "object") return carrier;
  for (const [name, value] of Object.entries(found)) {
    if (typeof value === "string") carrier[name.toLowerCase()] = value;
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
  const route = event.resource ?? event.routeKey?.split(" ")[1];
  return {
    "faas.trigger": "http",
    "http.request.method": method,
    "url.path": path,
    ...(typeof route === "string" && { "http.route": route }),
  };
}

module.exports = { replaceHandler };
