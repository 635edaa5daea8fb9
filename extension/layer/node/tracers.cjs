// Finds other tracers in the function. Two tracers would create two spans for each call and send the headers of two traces, so a
// function with its own tracer is left alone.
//
// Loaded packages and registered providers count, not the text of source files: a comment may name any package.

"use strict";

// OpenTelemetry's API registers under this symbol in all versions 1.x, even if a bundler has copied it into the function.
const GLOBAL = Symbol.for("opentelemetry.js.api.1");
/// Packages that patch libraries. Sentry's SDKs load the first one since version 8.
const PATCHING = ["@opentelemetry/instrumentation", "dd-trace"];

/// Returns the reason to leave the function alone, or `undefined`. `isOurs` returns `true` for files of the layer.
function findTracer(isOurs) {
  const files = Object.keys(require.cache).filter((file) => !isOurs(file));
  const loaded = (pattern) => {
    const found = files.find((file) => pattern.test(file));
    return found && pattern.exec(found)[1];
  };
  const patching = loaded(new RegExp(`/node_modules/(${PATCHING.join("|")})/`));
  const isRegistered = globalThis[GLOBAL]?.trace !== undefined;
  if (patching === undefined && !isRegistered) return undefined;
  const name =
    loaded(/\/node_modules\/(@sentry\/[^/]+)\//) ?? patching ?? loaded(/\/node_modules\/(@opentelemetry\/sdk-[^/]+)\//);
  return name === undefined ? "it has registered a tracer provider of its own" : `it loads ${name}, which traces it`;
}

module.exports = { PATCHING, findTracer };
