// Registers the SDK for all copies of OpenTelemetry's API in the function, of any version 1.x.
//
// A copy reads the registered values if their version has at least its own minor version. It registers a value of its own, such
// as a meter provider, only if the versions are equal.
//
// Source: @opentelemetry/api, `internal/global-utils` and `internal/semver`.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { readJson } = require("./packages.cjs");

const GLOBAL = Symbol.for("opentelemetry.js.api.1");
const NAME = "@opentelemetry/api";
/// A version that all copies read.
const NEWEST = "1.9999.0";

/// Registers `values`, such as `trace` and `context`. `api` is our own copy, `handler` the function's.
function register(api, handler, tracers, values) {
  const trace = api.trace.getTracerProvider();
  for (const copy of [api, ...loadedCopies()]) adopt(copy, tracers);
  const registered = { ...globalThis[GLOBAL], trace, ...values };
  globalThis[GLOBAL] = Object.defineProperty(registered, "version", { value: NEWEST, enumerable: true });
  const module = handler.isModule && moduleOf(path.dirname(handler.file));
  // The function has loaded this module, so that it is there before the first invocation.
  if (module)
    import(pathToFileURL(module).href).then(
      (copy) => adopt(copy, tracers),
      () => {},
    );
}

/// Passes the spans of tracers that a copy gave before, and lets it register the function's meter provider.
function adopt({ metrics, trace }, tracers) {
  // Once a provider is registered, only this field has the proxy.
  const proxy = trace._proxyTracerProvider ?? trace.getTracerProvider();
  proxy.setDelegate?.(tracers);
  if (metrics === undefined) return;
  metrics.setGlobalMeterProvider = (provider) => {
    const isFirst = globalThis[GLOBAL].metrics === undefined;
    if (isFirst) globalThis[GLOBAL].metrics = provider;
    return isFirst;
  };
}

function loadedCopies() {
  const files = Object.keys(require.cache).filter((file) => file.includes(`/node_modules/${NAME}/`));
  return files
    .map((file) => require.cache[file].exports)
    .filter((exports) => typeof exports?.trace?.getTracerProvider === "function");
}

/// Returns the file of the API for `import` in this folder's files, if it is not the one for `require`. Each has a proxy of its
/// own.
function moduleOf(folder) {
  const place = path.join(folder, "node_modules", NAME);
  const file = path.join(place, "package.json");
  if (!fs.existsSync(file)) return path.dirname(folder) === folder ? undefined : moduleOf(path.dirname(folder));
  const { exports: entries } = readJson(file);
  const entry = entries?.["."] ?? entries;
  const ofImport = selectEntry(entry, ["import", "node", "default"]);
  const ofRequire = selectEntry(entry, ["require", "node", "default"]);
  return typeof ofImport === "string" && ofImport !== ofRequire ? path.join(place, ofImport) : undefined;
}

/// Returns the file of the first entry with one of these conditions, as Node resolves the `exports` of a package.
function selectEntry(entry, conditions) {
  if (typeof entry !== "object" || entry === null) return entry;
  const condition = Object.keys(entry).find((name) => conditions.includes(name));
  return condition && selectEntry(entry[condition], conditions);
}

module.exports = { register };
