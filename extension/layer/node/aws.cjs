// Adds the trace context to calls of AWS's SDK, without changing the function's own objects, and messages to which AWS would refuse an
// addition. telemetry.cjs loads this file with the SDK.

"use strict";

const { Call } = require("./boundary.cjs");
const { attributesOfFullMessages, keptNames } = require("./outgoing.cjs");

/// Size of the attribute `traceparent`: its name, its type `String` and its value.
const TRACEPARENT_BYTES = 72;
/// Limits on a request with messages, attributes included.
///
/// Source: Amazon SQS Developer Guide, "Message quotas"; Amazon SNS, "Message filtering and size quotas".
const MAX_BYTES = { sqs: 1024 * 1024, sns: 256 * 1024 };

/// Returns the class with commands that have a copy of their input. The instrumentation adds the trace context to messages, and
/// the function's object may be frozen or used again. It fails with a batch of other values than objects, which AWS's SDK then
/// gets without it.
function copyInputs(Instrumentation, api) {
  return class extends Instrumentation {
    constructor(config) {
      super(config);
      describeCalls(this.servicesExtensions, api);
    }

    _getV3MiddlewareStackResolvePatch(version, original) {
      const resolveTo = (handle) => super._getV3MiddlewareStackResolvePatch(version, () => handle);
      return function (...values) {
        const send = original.apply(this, values);
        return function (command, ...others) {
          if (!isSent(command) || hasOtherEntries(command.input)) return send.call(this, command, ...others);
          const call = new Call(send, this, [command, ...others], "aws-sdk");
          return call.runBelow((command, ...others) => {
            const handle = resolveTo((...values) => call.run(this, values)).apply(this, values);
            const input = copyOf(command.input);
            require("./calls.cjs").noteCall(input, command, values[1]);
            noteFullMessages(api, input);
            return handle.call(this, { ...command, constructor: command.constructor, input }, ...others);
          });
        };
      };
    }
  };
}

/// Describes calls by the layer's own description, and those of models (bedrock.cjs) also by the instrumentation's.
function describeCalls(services, api) {
  const models = services?.services?.get("BedrockRuntime");
  for (const name of ["requestPreSpanHook", "responseHook"]) {
    const original = models?.[name]?.bind(models);
    if (original !== undefined) models[name] = (...values) => require("./bedrock.cjs")[name](original, ...values);
  }
  const described = services?.requestPreSpanHook?.bind(services);
  if (described === undefined) return;
  services.requestPreSpanHook = (...values) => require("./calls.cjs").requestPreSpanHook(api, described, ...values);
  const add = services.requestPostSpanHook.bind(services);
  services.requestPostSpanHook = (request) => (addContext(api, request) ? undefined : add(request));
  const read = services.responseHook.bind(services);
  // The instrumentation reads the texts of models and the links of messages. Other attributes have older names there.
  services.responseHook = (response, ...others) => {
    const isRead = response.request.serviceName === "BedrockRuntime" || response.data?.Messages?.length > 0;
    return isRead ? read(response, ...others) : undefined;
  };
}

/// Limit of a client context in base64 (Lambda API Reference, "Invoke").
const MAX_CLIENT_CONTEXT = 3583;
/// Most attributes of a message (Amazon SNS Developer Guide, "Message attributes").
const MAX_ATTRIBUTES = 10;

/// Adds the trace context to a synchronous call of a function, and to a batch of messages to a topic. Returns `true` for these. The
/// instrumentation replaces the function's own trace context in the former, and misses the latter.
function addContext(api, { commandInput: input, commandName, serviceName }) {
  if (serviceName === "Lambda") {
    // Lambda passes no client context to an asynchronous call.
    if (commandName.startsWith("Invoke") && input.InvocationType !== "Event") {
      input.ClientContext = clientContextWith(api, input.ClientContext);
    }
    return true;
  }
  if (serviceName !== "SNS" || commandName !== "PublishBatch") return false;
  for (const { MessageAttributes: attributes } of input.PublishBatchRequestEntries ?? []) {
    if (Object.keys(attributes ?? {}).length + api.propagation.fields().length > MAX_ATTRIBUTES) continue;
    api.propagation.inject(api.context.active(), attributes, {
      set: (carrier, name, value) => {
        carrier[name] = { DataType: "String", StringValue: value };
      },
    });
  }
  return true;
}

/// Returns a client context with the trace context, or the function's own if that has one, is no JSON object, or leaves no room.
function clientContextWith(api, given) {
  let content = {};
  try {
    if (given) content = JSON.parse(Buffer.from(given, "base64").toString());
  } catch {
    return given;
  }
  const custom = content?.custom ?? {};
  if (!isObject(content) || !isObject(custom) || keptNames(Object.keys(custom)).has("traceparent")) return given;
  const added = {};
  api.propagation.inject(api.context.active(), added);
  const { baggage: _, ...withoutBaggage } = added;
  // The caller chose the baggage, the only header of unlimited length.
  for (const each of [added, withoutBaggage]) {
    const text = Buffer.from(JSON.stringify({ ...content, custom: { ...each, ...custom } })).toString("base64");
    if (Object.keys(each).length > 0 && text.length <= MAX_CLIENT_CONTEXT) return text;
  }
  return given;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/// Returns `true` for a command that a client sends. AWS's presigners resolve the same handlers with another object, and send nothing.
function isSent(command) {
  return Object.getPrototypeOf(command) !== Object.prototype;
}

function copyOf(input) {
  const copy = { ...input };
  if (isMessage(copy)) copy.MessageAttributes = { ...copy.MessageAttributes };
  for (const list of LISTS) {
    if (Array.isArray(copy[list])) copy[list] = copy[list].map(copyOf);
  }
  return copy;
}

const LISTS = ["Entries", "PublishBatchRequestEntries"];

function hasOtherEntries(input) {
  return LISTS.some(
    (list) => Array.isArray(input?.[list]) && input[list].some((entry) => entry === null || typeof entry !== "object"),
  );
}

function isMessage({ MessageBody: ofSqs, Message: ofSns }) {
  return typeof ofSqs === "string" || typeof ofSns === "string";
}

/// Notes the messages of a request that would become too large.
function noteFullMessages(api, input) {
  const messages = isMessage(input) ? [input] : LISTS.flatMap((list) => input[list] ?? []).filter(isMessage);
  if (messages.length === 0) return;
  const most = typeof messages[0].MessageBody === "string" ? MAX_BYTES.sqs : MAX_BYTES.sns;
  const context = {};
  api.propagation.inject(api.context.active(), context);
  delete context.traceparent;
  const added =
    TRACEPARENT_BYTES +
    Object.entries(context).reduce((sum, [name, value]) => sum + bytes(name) + bytes("String") + bytes(value), 0);
  let size = messages.reduce((sum, message) => sum + sizeOf(message), 0);
  for (const { MessageAttributes: attributes } of messages) {
    size += added;
    if (size <= most) continue;
    size -= added;
    attributesOfFullMessages.add(attributes);
  }
}

function sizeOf({ MessageBody, Message, Subject, MessageAttributes }) {
  const texts = [MessageBody ?? Message, Subject];
  for (const [name, attribute] of Object.entries(MessageAttributes)) {
    texts.push(name, attribute?.DataType, attribute?.StringValue, attribute?.BinaryValue);
  }
  return texts.reduce((sum, text) => sum + bytes(text), 0);
}

function bytes(value) {
  return typeof value === "string" ? Buffer.byteLength(value) : (value?.byteLength ?? 0);
}

module.exports = { copyInputs, isObject };
