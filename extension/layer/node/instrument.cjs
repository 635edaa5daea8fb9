// Makes OpenTelemetry's instrumentations ready, each for the moment when its library is loaded, and waits for the handler's module.
// Once the handler's module is loaded and nothing else traces the function, the SDK starts and the handler is wrapped.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { Module, syncBuiltinESMExports } = require("node:module");
const { findPackages } = require("./packages.cjs");
const { PATCHING, findTracer } = require("./tracers.cjs");

function main() {
  const isOff = (process.env.OTEL_SDK_DISABLED ?? "").trim().toLowerCase() === "true";
  if (isOff || !process.env._HANDLER || !process.env.LAMBDA_TASK_ROOT) return;
  const handler = handlerFile();
  if (handler === undefined) return say(`without instrumentation: there is no file for the handler ${process.env._HANDLER}`);
  // Modules that NODE_OPTIONS names before the layer are loaded already.
  const tracer = findTracer(() => false);
  if (tracer !== undefined) return leaveAlone(tracer);
  let load;
  try {
    load = findPackages();
  } catch (error) {
    return say(`without instrumentation: ${error.message}`);
  }
  instrument(load, handler);
}

function instrument(load, handler) {
  const { instrumentLibraries, startSdk } = require("./telemetry.cjs");
  const { replaceHandler } = require("./handler.cjs");
  const release = instrumentLibraries(load);
  const own = path.dirname(load.resolve("@opentelemetry/instrumentation/package.json")) + path.sep;
  let isDecided = false;
  /// Returns `true` if the function is left alone.
  const isTraced = () => {
    if (isDecided) return true;
    const tracer = findTracer((file) => file.startsWith(own));
    if (tracer === undefined) return false;
    isDecided = true;
    release();
    leaveAlone(tracer);
    return true;
  };
  const patching = new RegExp(`/node_modules/(${PATCHING.join("|")})/`);
  // Every file of CommonJS passes here once. A hook of `require` would find each file for each of its uses.
  const compile = Module.prototype._compile;
  Module.prototype._compile = function (content, file, ...others) {
    // Before the package patches anything.
    if (patching.test(file)) attempt(undefined, isTraced);
    const compiled = compile.call(this, content, file, ...others);
    if (file === handler.file) this.exports = loaded(this.exports);
    return compiled;
  };
  const patched = Module.prototype._compile;
  const loaded = (exports) => attempt(exports, () => {
    if (Module.prototype._compile === patched) Module.prototype._compile = compile;
    if (isTraced()) return exports;
    isDecided = true;
    return replaceHandler(load, startSdk(load), exports, handler.name);
  });
  if (handler.isModule) {
    patchBuiltins();
    require("./facade.cjs").replaceExport(handler, loaded);
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

function attempt(otherwise, action) {
  try {
    return action();
  } catch (error) {
    say(`instrumentation failed, the function continues without it: ${error}`);
    return otherwise;
  }
}

function leaveAlone(reason) {
  say(`info: the function is not instrumented, because ${reason}; LAMBDA_OTLP_INSTRUMENT=off hides this line`);
}

function say(text) {
  process.stderr.write(`lambda-otlp-handler: ${text}\n`);
}

module.exports = { main };
