// Corrects spans that end: masks credentials, gives calls the stable names of OpenTelemetry's conventions, and removes the layer's
// frames from stacks.

"use strict";

/// What a text with a credential has. Most texts are names, numbers or addresses, and have none of these.
const SUSPECT = /[=@ "']/;
/// Anthropic's client gives the reason another name than the conventions.
const STOP_REASON = "anthropic.message.stop_reason";
const FINISH_REASONS = "gen_ai.response.finish_reasons";
const STACK = "exception.stacktrace";
/// Names of the instrumentation of AWS's SDK beside those of the conventions (calls.cjs).
const OLD = ["aws.request.extended_id", "aws.request.id"];

/// Changes the attributes of a span that ends in place.
function correctAttributes(attributes = {}) {
  mask(attributes);
  const reason = attributes[STOP_REASON];
  if (reason !== undefined) attributes[FINISH_REASONS] ??= [reason];
  if (attributes["rpc.system"] !== undefined) for (const name of OLD) delete attributes[name];
  return attributes;
}

/// Changes a span that ends in place.
function correct(span) {
  correctAttributes(span.attributes);
  const call = databaseCall(span);
  if (call !== undefined) Object.assign(span, call);
  for (const { attributes } of span.events ?? []) {
    mask(attributes);
    if (attributes?.[STACK] !== undefined) attributes[STACK] = require("./frames.cjs").withoutOwnFrames(attributes[STACK]);
  }
  const { code, message } = span.status ?? {};
  if (message !== undefined) span.status = { code, ...mask({ message: String(message) }) };
}

/// Masks the credentials in values, such as attributes, in place.
function mask(values = {}) {
  for (const name of Object.keys(values)) {
    const value = values[name];
    const isSuspect = typeof value === "string" ? SUSPECT.test(value) : Array.isArray(value);
    if (isSuspect) values[name] = require("./secrets.cjs").maskValue(value);
  }
  return values;
}

/// Returns the name, attributes, status and events of a span of a database that ends, or `undefined` for another span.
function databaseCall(span) {
  if (span.attributes?.["db.system.name"] === undefined) return undefined;
  return require("./databases.cjs").describeCall(span);
}

module.exports = { correct, correctAttributes, databaseCall };
