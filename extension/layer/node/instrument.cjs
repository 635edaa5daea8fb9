// Makes OpenTelemetry's instrumentations ready, each for the moment when its library is loaded, and waits for the handler's module.
// When that has been loaded and has not set an SDK up by itself, the SDK is started and the handler is wrapped.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { createRequire, syncBuiltinESMExports } = require("node:module");

// What is needed from one place: versions of the function's and of the layer's are not mixed.
const NEEDED = [
  "@opentelemetry/api",
  "@opentelemetry/context-async-hooks",
  "@opentelemetry/core",
  "@opentelemetry/exporter-trace-otlp-http",
  "@opentelemetry/instrumentation",
  "@opentelemetry/resources",
  "@opentelemetry/sdk-trace-base",
  "require-in-the-middle",
];

// What a module names that sets an SDK or its instrumentations up by itself, also where it was bundled.
const OWN_SETUP = /@opentelemetry\/(sdk-|instrumentation|auto-instrumentations)|\b(NodeSDK|BasicTracerProvider|NodeTracerProvider)\b/;

function main() {
  const handler = handlerFile();
  const isOff = (process.env.OTEL_SDK_DISABLED ?? "").trim().toLowerCase() === "true";
  if (handler === undefined || isOff || OWN_SETUP.test(fs.readFileSync(handler.file, "latin1"))) return;
  const load = packages();
  if (load === undefined) {
    say(
      "without instrumentation: OpenTelemetry's packages are neither among the function's nor in a layer: " +
        "add lambda-otlp's Node layer, or set LAMBDA_OTLP_INSTRUMENT=off",
    );
    return;
  }
  const { instrumentLibraries, startSdk } = require("./telemetry.cjs");
  const { replaceHandler } = require("./handler.cjs");
  instrumentLibraries(load);
  let isLoaded = false;
  const loaded = (exports) => {
    if (isLoaded) return exports;
    isLoaded = true;
    return attempt(exports, () => {
      const sdk = startSdk(load);
      return sdk === undefined ? exports : replaceHandler(load, sdk, exports, handler.name);
    });
  };
  if (handler.isModule) {
    patchBuiltins();
    require("./facade.cjs").replaceExport(handler, loaded);
  } else {
    new (load("require-in-the-middle").Hook)([handler.file], { internals: true }, loaded);
  }
}

/// What is patched for `require` is patched for `import` too, without a copy of any module: what the instrumentations patch are
/// modules of Node's and CommonJS, whatever imports them. A copy would not follow what a module assigns to its exports.
function patchBuiltins() {
  require("http");
  require("https");
  syncBuiltinESMExports();
}

/// The handler's file and name, found as Lambda's runtime does: `src/app.handler`, below the task's root.
function handlerFile() {
  const { _HANDLER: handler, LAMBDA_TASK_ROOT: root } = process.env;
  if (!handler || !root) return undefined;
  const [, module, name] = /^([^.]*)\.(.+)$/.exec(path.basename(handler)) ?? [];
  if (module === undefined) return undefined;
  const stem = path.resolve(root, path.dirname(handler), module);
  const found = ["", ".js", ".mjs", ".cjs"].map((end) => stem + end).find((file) => {
    return fs.statSync(file, { throwIfNoEntry: false })?.isFile();
  });
  if (found === undefined) return undefined;
  const file = fs.realpathSync(found);
  return { file, name, isModule: file.endsWith(".mjs") || (file.endsWith(".js") && isModuleFolder(path.dirname(file))) };
}

function isModuleFolder(folder) {
  const description = path.join(folder, "package.json");
  if (fs.existsSync(description)) return JSON.parse(fs.readFileSync(description, "utf8")).type === "module";
  const above = path.dirname(folder);
  return above !== folder && isModuleFolder(above);
}

/// Loads from the function's packages if they are complete, else from the layer's.
function packages() {
  const places = [path.join(process.env.LAMBDA_TASK_ROOT, "_"), path.join(__dirname, "../node-packages/_")];
  return places.map(createRequire).find((load) => {
    try {
      NEEDED.forEach((name) => load.resolve(name));
      return true;
    } catch {
      return false;
    }
  });
}

function attempt(otherwise, action) {
  try {
    return action();
  } catch (error) {
    say(`instrumentation failed, the function goes on: ${error}`);
    return otherwise;
  }
}

function say(text) {
  process.stderr.write(`lambda-otlp-handler: ${text}\n`);
}

module.exports = { main };
