// Finds other tracers in the function. Two tracers would create two spans for each call and send the headers of two traces, so a
// function with its own tracer is left alone.
//
// Loaded packages and registered providers count, not the text of source files: a comment may name any package.

"use strict";

// OpenTelemetry's API registers under this symbol in all versions 1.x, even if a bundler has copied it into the function.
const GLOBAL = Symbol.for("opentelemetry.js.api.1");
/// Packages that trace a function, or do so with an SDK. Sentry's SDKs load `@opentelemetry/instrumentation` since version 8.
const TRACING =
  /^.*[\\/]node_modules[\\/](dd-trace|@opentelemetry[\\/](?:auto-)?(?:instrumentation|sdk-(?:node|trace))[^\\/]*)[\\/]/;
/// The packages above that need no SDK. Instrumentations of HTTP would trace the runtime client's own requests.
const ALONE = /^(?:dd-trace|@opentelemetry\/(?:auto-instrumentations.*|instrumentation-(?:aws-lambda|aws-sdk|http|undici)))$/;
/// The package that all instrumentations load.
const INSTRUMENTATION = "@opentelemetry/instrumentation";

/// Returns the name of the package if this file can be a tracer's.
function tracingPackage(file) {
  return TRACING.exec(file)?.[1].replaceAll("\\", "/");
}

/// Returns the reason to leave the function alone, or `undefined`. `isOurs` returns `true` for files of the layer.
function findTracer(isOurs) {
  const files = Object.keys(require.cache).filter((file) => !isOurs(file));
  const packages = [...new Set(files.map(tracingPackage))];
  const sdk = packages.find((name) => name?.startsWith("@opentelemetry/sdk-"));
  const instrumentation = packages.find((name) => name === INSTRUMENTATION && sdk !== undefined);
  const tracing = packages.find((name) => ALONE.test(name)) ?? instrumentation;
  const isRegistered = globalThis[GLOBAL]?.trace !== undefined;
  if (tracing === undefined && !isRegistered) return undefined;
  const sentry = files.map((file) => /\/node_modules\/(@sentry\/[^/]+)\//.exec(file)?.[1]).find(Boolean);
  const name = sentry ?? tracing ?? sdk;
  return name === undefined ? "it has registered a tracer provider of its own" : `it loads ${name}, which traces it`;
}

module.exports = { findTracer, tracingPackage };
