// Finds out whether something else traces the function. Two tracers would make two spans of each call and send the headers of two
// traces, so such a function is left alone.
//
// What counts is which packages are loaded and what is registered, not the text of a source file: a comment may name any package.

"use strict";

// OpenTelemetry's API registers under this symbol in all versions 1.x, also if a bundler has copied it into the function.
const GLOBAL = Symbol.for("opentelemetry.js.api.1");
/// The packages that patch libraries. Sentry's SDKs since version 8 load the first of them.
const PATCHING = ["@opentelemetry/instrumentation", "dd-trace"];

/// Returns the reason to leave the function alone, or `undefined`. `isOurs` tells the layer's own files from the function's.
function findTracer(isOurs) {
  const files = Object.keys(require.cache).filter((file) => !isOurs(file));
  const loaded = (pattern) => {
    const found = files.find((file) => pattern.test(file));
    return found && pattern.exec(found)[1];
  };
  const patching = loaded(new RegExp(`/node_modules/(${PATCHING.join("|")})/`));
  const isRegistered = globalThis[GLOBAL]?.trace !== undefined;
  if (patching === undefined && !isRegistered) return undefined;
  const name = loaded(/\/node_modules\/(@sentry\/[^/]+)\//) ?? patching ?? loaded(/\/node_modules\/(@opentelemetry\/sdk-[^/]+)\//);
  return name === undefined ? "it has registered a tracer provider of its own" : `it is traced by ${name}, which it loads`;
}

module.exports = { PATCHING, findTracer };
