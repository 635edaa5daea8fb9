// Calls databases as calls.cjs does, while the spans of their instrumentations fail: `fault` of an event is the method.

"use strict";

const { handler } = require("./calls.cjs");

/// Methods of a span or of a tracer that fail, by the `fault` of an event.
const METHODS = { start: "startSpan", attribute: "setAttribute", status: "setStatus", end: "end" };

function fail() {
  throw new Error("a fault of the layer");
}

/// Lets a method fail until the returned function is called.
function failing(fault) {
  const tracers = globalThis[Symbol.for("opentelemetry.js.api.1")]?.trace;
  if (tracers === undefined) return () => {};
  const tracer = tracers.getTracer("a");
  const holder = Object.getPrototypeOf(fault === "start" ? (tracer._getTracer?.() ?? tracer) : tracer.startSpan("a"));
  const original = holder[METHODS[fault]];
  holder[METHODS[fault]] = fail;
  return () => {
    holder[METHODS[fault]] = original;
  };
}

exports.handler = async (event) => {
  const restore = failing(event.fault);
  try {
    return await handler(event);
  } finally {
    restore();
  }
};
