// Describes calls by AWS's SDK. The attributes are data, which Python's lambda_otlp_calls.py reads too: exporter/calls.json. The Rust
// library has the same ones. aws.cjs loads this file with the first call.
//
// Source: OpenTelemetry's semantic conventions, "AWS SDK client spans", "AWS DynamoDB", "AWS SQS", "AWS SNS", "AWS S3" and "FaaS".

"use strict";

const CALLS = require("../calls.json");
const { isObject } = require("./aws.cjs");

/// The id of the service whose calls OpenTelemetry's instrumentation describes further.
const MODELS = "BedrockRuntime";
/// Errors of a connection, by their codes in Node.
const CONNECTION = /^E(?:AI_AGAIN|CONN\w+|HOSTUNREACH|NETUNREACH|NOTFOUND|PIPE)$/;
/// Ways of reading a value, by their names in the description.
const FORMS = {
  count: (value) => itemsOf(value).length || undefined,
  /// The name of a function, whose ARN may have a qualifier.
  function: (value) => (typeof value === "string" && value.split("function:").pop().split(":", 1)[0]) || undefined,
  json: (value) => some((isObject(value) ? [value] : itemsOf(value)).map((item) => JSON.stringify(item))),
  keys: (value) => (isObject(value) ? some(Object.keys(value)) : undefined),
  list: (value) => (typeof value === "string" ? [value] : undefined),
  scalar,
  shared,
};

/// The facts of calls that their requests do not have, by the input of their commands.
const facts = new WeakMap();

/// Notes the client's name of the service, and the context in which AWS's SDK notes the endpoint.
function noteCall(input, command, sdkContext) {
  // OpenTelemetry's instrumentation notes the client's configuration on its command.
  const ids = Object.getOwnPropertySymbols(command).map((symbol) => command[symbol]?.serviceId);
  facts.set(input, { service: ids.find((id) => typeof id === "string"), sdkContext });
}

/// Returns what describes the span of a call before the call. `described` is the instrumentation's method.
function requestPreSpanHook({ SpanKind }, described, request, ...others) {
  const found = request.serviceName === MODELS ? described(request, ...others) : { isIncoming: false };
  const service = facts.get(request.commandInput)?.service ?? request.serviceName;
  const kind = messageOf(service, request.commandName)?.type === "send" ? SpanKind.PRODUCER : SpanKind.CLIENT;
  return { spanKind: kind, ...found, spanName: found.spanName ?? `${service}.${request.commandName}` };
}

/// Sets the attributes of a request, whose region is known.
function preRequestHook(span, { request }) {
  const { commandInput: input, commandName: operation, region, serviceName } = request;
  const service = facts.get(input)?.service ?? serviceName;
  const message = messageOf(service, operation);
  const attributes = {
    "rpc.service": service,
    ...(message !== undefined && {
      "messaging.system": CALLS.systems[service],
      "messaging.operation.type": message.type,
      "messaging.operation.name": message.name,
    }),
    ...values("request", { service, operation, region }, input),
  };
  if (attributes["messaging.destination.name"] === undefined) {
    attributes["peer.service"] = CALLS.peers.map((name) => attributes[name]).find((name) => name !== undefined) ?? service;
  }
  span.setAttributes(attributes);
}

/// Sets the attributes of a response.
function responseHook(span, { response: { data, request } }) {
  noteAnswer(span, request, data?.$metadata);
  const service = facts.get(request.commandInput)?.service ?? request.serviceName;
  span.setAttributes(values("response", { service, operation: request.commandName }, data));
}

/// Completes the span of a call that fails.
function exceptionHook(span, { request }, error) {
  noteAnswer(span, request, error?.$metadata);
  span.setAttribute("error.type", typeOf(error));
  if (request.serviceName === MODELS) require("./bedrock.cjs").endFailed(span, request);
}

function noteAnswer(span, { commandInput }, { attempts, extendedRequestId, requestId } = {}) {
  const { hostname, port, protocol } = facts.get(commandInput)?.sdkContext?.endpointV2?.url ?? {};
  const found = {
    "aws.extended_request_id": extendedRequestId,
    "aws.request_id": requestId,
    "http.request.resend_count": attempts > 1 ? attempts - 1 : undefined,
    "server.address": hostname,
    "server.port": hostname && (Number(port) || (protocol === "http:" ? 80 : 443)),
  };
  for (const [name, value] of Object.entries(found)) if (value !== undefined) span.setAttribute(name, value);
}

/// Returns AWS's code of an error, or the type of another one as in Python and Rust.
function typeOf(error) {
  if (error?.name === "TimeoutError" || error?.code === "ETIMEDOUT") return "timeout";
  return CONNECTION.test(error?.code) ? "connection" : String(error?.name || "_OTHER");
}

/// Returns the names of an operation with messages, or `undefined`.
function messageOf(service, operation) {
  return service in CALLS.systems ? CALLS.messages[operation] : undefined;
}

/// Returns the attributes of a request or a response.
function values(part, call, content) {
  const found = {};
  for (const [name, readings] of Object.entries(CALLS[part][call.service] ?? {})) {
    const value = readings.map((reading) => read(reading, call, content)).find((value) => value !== undefined);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

/// Reads the value of an attribute, or returns `undefined`.
function read(reading, call, content) {
  if (!call.operation.startsWith(reading.on ?? "")) return undefined;
  if (reading.text !== undefined) return reading.text;
  if (reading.of_call !== undefined) return call[reading.of_call];
  const value = reading.at.split("/").reduce((object, name) => (isObject(object) ? object[name] : undefined), content);
  return FORMS[reading.as ?? "scalar"](value, reading);
}

function scalar(value, { start = "", until, after }) {
  if (typeof value !== "string") return ["boolean", "number"].includes(typeof value) ? value : undefined;
  if (!value.startsWith(start)) return undefined;
  const text = until === undefined ? value : value.split(until, 1)[0];
  return (after === undefined ? text : text.split(after).pop()) || undefined;
}

/// Returns the text that is the same in all objects of a list.
function shared(value, reading) {
  const found = new Set(itemsOf(value).map((entry) => entry?.[reading.member]));
  return found.size === 1 ? scalar([...found][0], reading) : undefined;
}

function itemsOf(value) {
  return Array.isArray(value) ? value : [];
}

function some(list) {
  return list.length > 0 ? list : undefined;
}

module.exports = { exceptionHook, noteCall, preRequestHook, requestPreSpanHook, responseHook };
