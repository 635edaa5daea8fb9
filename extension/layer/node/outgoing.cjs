// Adds the trace context to what the function sends, without changing the headers that the function itself has stated. aws.cjs has
// the calls of AWS's SDK.

"use strict";

/// The names of W3C's headers. The state belongs to the parent, so one without the other would be wrong.
const TRACE_CONTEXT = ["traceparent", "tracestate"];

/// Returns the class with requests that keep the function's own headers. Undici would send a second header of the same name.
function keepOwnHeaders(Instrumentation) {
  return class extends Instrumentation {
    onRequestCreated(message) {
      const { request } = message;
      const kept = keptNames([...this.parseRequestHeaders(request).keys()]);
      const add = request.addHeader;
      request.addHeader = function (name, value) {
        if (kept.has(name.toLowerCase())) return this;
        if (typeof add === "function") return add.call(this, name, value);
        // Undici 6.11 has no such method.
        this.headers.push(name, value);
        return this;
      };
      try {
        super.onRequestCreated(message);
      } finally {
        delete request.addHeader;
      }
    }
  };
}

/// Returns the names that must not be added to the function's own.
function keptNames(own) {
  const names = new Set(own.map((name) => name.toLowerCase()));
  if (names.has("traceparent")) TRACE_CONTEXT.forEach((name) => names.add(name));
  return names;
}

/// Attributes of messages to which no trace context is added, because AWS would refuse them as too large.
const attributesOfFullMessages = new WeakSet();

/// Returns the propagator that keeps what its carrier already has, and adds nothing to the attributes of a full message.
function keepOwnContext(propagator) {
  const inject = propagator.inject.bind(propagator);
  propagator.inject = (context, carrier, setter) => {
    if (attributesOfFullMessages.has(carrier)) return;
    const kept = keptNames(Object.keys(carrier ?? {}));
    const set = (carrier, name, value) => kept.has(name) || setter.set(carrier, name, value);
    inject(context, carrier, { set });
  };
  return propagator;
}

module.exports = { attributesOfFullMessages, keepOwnContext, keepOwnHeaders, keptNames };
