// Executions: a durable function's invocations belong to one trace, and so do the functions that a state machine calls.
//
// The places in events are data, which the Rust library and the Python layer read too: `durable` and `state_machine` in
// exporter/events.json. docs/executions.md says what users see.
//
// Source: aws-durable-execution-sdk-js, `deterministic-id-generator.ts`; Datadog's extension, `step_function_event.rs`.

"use strict";

const { createHash } = require("node:crypto");
const { at, description, holdsFor, milliseconds, text, xray } = require("./events.cjs");
const { say } = require("./originals.cjs");

const { durable: rules, state_machine: stateMachine } = description;
const { attributes: names } = rules;
/// AWS's plugin, which writes spans of executions and their operations itself. The SDK loads it for this variable.
const PLUGIN = /[\\/]@aws[\\/]durable-execution-sdk-js-otel[\\/]/;
const PLUGINS = "DURABLE_EXECUTION_PLUGINS";
/// The address of a local runner, whose ids of executions are no ARNs.
const RUNNER = "AWS_ENDPOINT_URL_LAMBDA";
/// The seconds of a trace id have eight hexadecimal digits.
const MAX_START_MS = 2 ** 32 * 1000;

const digest = (value) => createHash("sha256").update(value).digest("hex");

let isPluginFound = false;

function hasPlugin() {
  isPluginFound ||= process.env[PLUGINS]?.includes("otel") || Object.keys(require.cache).some((file) => PLUGIN.test(file));
  return isPluginFound;
}

/// Returns the durable execution to which the invocation belongs, or `undefined`. `input` is the event that started it.
///
/// The envelope must name an execution of this function: anybody who may send the function an event can write one.
function durableOf(event, { functionName, invokedFunctionArn }) {
  if (!holdsFor(event, rules.when)) return undefined;
  const arn = at(event, rules.arn);
  return isOfFunction(arn, invokedFunctionArn) ? new Durable(event, arn, functionName) : undefined;
}

function isOfFunction(arn, invokedArn) {
  const [named, within] = arn.split(rules.within_function, 2);
  if (within === undefined) return !arn.startsWith("arn:") && process.env[RUNNER] !== undefined;
  // arn:{partition}:lambda:{region}:{account}:function:{name}
  const ofFunction = (value) => String(value).split(":").slice(0, 7);
  return ofFunction(named).length === 7 && ofFunction(named).join(":") === ofFunction(invokedArn).join(":");
}

/// A durable execution, as the event of one of its invocations describes it.
class Durable {
  constructor(event, arn, functionName) {
    const started = milliseconds(at(event, rules.started[0]));
    this.arn = arn;
    this.startedMs = started < MAX_START_MS ? started : undefined;
    this.name = rules.span_name.replace("{function}", () => functionName);
    this.attributes = { [names.arn]: arn, [names.is_first]: at(event, rules.recorded) === undefined };
    this.input = parse(text(event, [rules.input]));
    /// The context with the parent of the execution's span, and the context of that span, once the invocation has begun.
    this.caller = undefined;
    this.spanContext = undefined;
  }

  /// Returns the parent of the invocation's span, and its links.
  ///
  /// The invocation's span hangs below that of its caller, as for any event, with a link to the execution's span; without a caller,
  /// below the execution's span. `samples` decides like the sampler about a root span with a trace id and a name.
  begin(api, caller, samples) {
    if (this.startedMs === undefined) return { parent: caller, links: [] };
    const calledBy = api.trace.getSpanContext(caller);
    const isCalled = calledBy !== undefined && api.isSpanContextValid(calledBy);
    this.caller = caller;
    const traceId = isCalled && !hasPlugin() ? calledBy.traceId : this.traceId();
    const traceFlags = isCalled ? calledBy.traceFlags & 1 : Number(samples(traceId, this.name));
    const spanId = valid(digest(rules.span_seed + this.arn).slice(0, 16));
    this.spanContext = { traceId, spanId, traceFlags, isRemote: true };
    if (isCalled) return { parent: caller, links: [{ context: this.spanContext }] };
    return { parent: api.trace.setSpanContext(caller, this.spanContext), links: [] };
  }

  /// Returns X-Ray's trace id if X-Ray samples the execution, or else that of ARN and start. AWS's plugin takes X-Ray's in any case.
  traceId() {
    const { traceId, isSampled } = xray(process.env._X_AMZN_TRACE_ID ?? "");
    if (hasPlugin() && isSampled === false) sayDropped();
    if (traceId !== undefined && (isSampled || hasPlugin())) return traceId;
    const seconds = Math.floor(this.startedMs / 1000);
    return seconds.toString(16).padStart(8, "0") + digest(this.arn).slice(0, 24);
  }

  /// Writes the execution's span. AWS's plugin writes one of its own. `failure` is the error of a failed one.
  write(api, tracer, useIds, status, failure) {
    if (this.spanContext === undefined || hasPlugin()) return;
    const attributes = { [names.arn]: this.arn, [names.status]: status, ...(failure && { "error.type": failure.name }) };
    const span = useIds(this.spanContext, () =>
      tracer.startSpan(this.name, { attributes, startTime: this.startedMs }, this.caller),
    );
    if (failure !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: failure.message });
    span.end();
  }
}

let isDropSaid = false;

/// The plugin has a tracer provider of its own, which the layer does not reach.
function sayDropped() {
  if (isDropSaid) return;
  isDropSaid = true;
  say(
    "AWS's plugin for durable functions drops its spans, because X-Ray does not sample this execution: " +
      "turn on the function's active tracing, or remove the plugin to get the layer's span of the execution",
  );
}

function parse(payload) {
  try {
    return payload && JSON.parse(payload);
  } catch {
    return undefined;
  }
}

/// Returns headers with the span of the state that called the function: the ids that Datadog derives from Step Functions' context
/// object.
function stateHeaders(context) {
  const number = (digits) => valid((BigInt(`0x${digits}`) & (2n ** 63n - 1n)).toString(16).padStart(16, "0"));
  const root = digest(text(context, stateMachine.execution));
  const traceId = tracedByDatadog(context) ?? number(root.slice(0, 16)) + number(root.slice(16, 32));
  const counts = stateMachine.counts.map((pointer) => at(context, pointer)).map((count) => (Number.isInteger(count) ? count : 0));
  const state = stateMachine.state.map((pointer) => at(context, pointer)).concat(counts.some(Boolean) ? counts : []);
  return { traceparent: `00-${traceId}-${number(digest(state.join("#")).slice(0, 16))}-01` };
}

/// Returns the trace id of the function that started the state machine, if Datadog's tracer wrote one.
function tracedByDatadog(context) {
  const low = text(context, [stateMachine.trace_id]) ?? "";
  const [, high = "0"] = /(?:^|,)_dd\.p\.tid=([0-9a-f]{16})(?:,|$)/i.exec(text(context, [stateMachine.tags]) ?? "") ?? [];
  if (!/^\d{1,20}$/.test(low) || BigInt(low) === 0n || BigInt(low) >= 2n ** 64n) return undefined;
  return high.toLowerCase().padStart(16, "0") + BigInt(low).toString(16).padStart(16, "0");
}

/// Returns an id, or 1 in place of the invalid id of zeros.
function valid(id) {
  return /[^0]/.test(id) ? id : "1".padStart(id.length, "0");
}

module.exports = { durableOf, stateHeaders };
