// Prepares OpenTelemetry's instrumentations. Each one patches its library when the function loads it. Once the handler's module
// is loaded and no other tracer is present, starts the SDK and wraps the handler.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { Module, createRequire, syncBuiltinESMExports } = require("node:module");
const { isPromise } = require("./ending.cjs");
const { findPackages, readJson } = require("./packages.cjs");
const { findTracer, tracingPackage } = require("./tracers.cjs");

/// Number of names that a message lists.
const SHOWN = 5;

function main() {
  const isOff = (process.env.OTEL_SDK_DISABLED ?? "").trim().toLowerCase() === "true";
  if (isOff) return;
  const handler = findHandler();
  if (handler.problem !== undefined) return say(`not instrumented: ${handler.problem}`);
  // Node has already loaded the modules that precede the layer in NODE_OPTIONS.
  const preceding = new Set(Object.keys(require.cache));
  const tracer = findTracer(() => false);
  if (tracer !== undefined) return leaveAlone(tracer);
  let load;
  try {
    load = findPackages(handler.root);
  } catch (error) {
    return say(`not instrumented: ${error.message}`);
  }
  instrument(load, handler, preceding);
}

/// `preceding` has the files that were loaded before the layer.
function instrument(load, handler, preceding) {
  const { instrumentLibraries, startSdk } = require("./telemetry.cjs");
  const { replaceHandler } = require("./handler.cjs");
  const { findImports, instrumentLibrary, release } = instrumentLibraries(load);
  const ofLayer = new Set(Object.keys(require.cache).filter((file) => !preceding.has(file)));
  let isDecided = false;
  /// Returns `true` if another tracer is present, or if the decision has been made.
  const isTraced = () => {
    if (isDecided) return true;
    const tracer = findTracer((file) => ofLayer.has(file));
    if (tracer === undefined) return false;
    isDecided = true;
    release();
    leaveAlone(tracer);
    return true;
  };
  const seen = new Set();
  /// Returns `true` for the first file of each package that can be a tracer's.
  const isFirstOfTracer = (file) => {
    const name = tracingPackage(file);
    if (name === undefined || seen.has(name)) return false;
    seen.add(name);
    return true;
  };
  // An ES module that a CommonJS file loads. Hooks of `import` are expensive, so they wait for the first file that needs them.
  let instrumentImports = attempt(undefined, () => findImports(path.dirname(handler.file)));
  const startImports = () => {
    const start = instrumentImports;
    instrumentImports = undefined;
    attempt(undefined, () => start?.());
  };
  // Node compiles each CommonJS file once. A hook of `require` would resolve a file for each of its uses.
  const compile = Module.prototype._compile;
  Module.prototype._compile = function compiling(content, file, ...others) {
    // Looks for another tracer before its package patches anything.
    if (!isDecided && isFirstOfTracer(file)) attempt(undefined, isTraced);
    const instrumentExports = attempt(undefined, () => instrumentLibrary(file));
    if (instrumentImports !== undefined && loadsModules(content, file, others[0])) startImports();
    try {
      const compiled = compile.call(this, content, file, ...others);
      if (instrumentExports !== undefined) attempt(undefined, () => instrumentExports(this.exports));
      if (!isDecided && file === handler.file) this.exports = loaded(this.exports);
      return compiled;
    } catch (error) {
      // The innermost of these calls is the first in the stack.
      require("./frames.cjs").cutFrames(error, require("./failure.cjs").callerOf(compiling, __filename));
      throw error;
    }
  };
  const loaded = (exports) =>
    attempt(exports, () => {
      if (isTraced()) return exports;
      isDecided = true;
      const problem = problemOf(exports, handler);
      if (problem !== undefined) {
        say(`not instrumented: ${problem}`);
        return exports;
      }
      return replaceHandler(load, startSdk(load, handler), exports, handler.name);
    });
  // A module that precedes the layer in NODE_OPTIONS may have loaded the handler.
  const cached = require.cache[handler.file];
  if (cached?.loaded) cached.exports = loaded(cached.exports);
  else if (handler.isModule) {
    patchBuiltins();
    startImports();
    require("./facade.cjs").replaceExport(handler, loaded);
  }
}

/// A call of `import` in a line that is no comment.
const IMPORT = /^(?!\s*(?:\/\/|\/?\*)).*\bimport\s*\(/m;

/// Returns `true` if a file that is compiled can load the ES module of a client: `require` has loaded an ES module, or a file of the
/// function calls `import`. Packages call it for other modules: each function with AWS's SDK would pay for the hooks.
function loadsModules(content, file, format) {
  return format === "module" || (!/[\\/]node_modules[\\/]/.test(file) && IMPORT.test(content));
}

/// Makes the patches of Node's modules visible to `import`. The instrumentations patch only modules of Node and CommonJS modules,
/// so no ES module needs a patched copy. A copy would miss later assignments to the module's exports.
function patchBuiltins() {
  require("http");
  require("https");
  syncBuiltinESMExports();
}

/// Finds the handler as Lambda's runtime does. Returns the problem if the runtime will not find it.
///
/// aws-lambda-ric before version 4, which container images start, takes the handler from its first argument and looks for it in
/// the working folder. All other runtimes read Lambda's variables.
///
/// Source: aws-lambda-ric 3.3, `bin/index.mjs`, and 4.0, `main`; Lambda Developer Guide, "Deploy Node.js Lambda functions with
/// container images".
function findHandler() {
  const { _HANDLER: ofLambda, LAMBDA_TASK_ROOT: root } = process.env;
  const [, program, argument] = process.argv;
  const isOfArgument = program !== undefined && isOldClient(program);
  const handler = (isOfArgument && argument) || ofLambda || argument;
  if (!handler)
    return {
      problem:
        "neither _HANDLER nor the runtime's first argument names the handler: " +
        "set one of them to FILE.FUNCTION, such as index.handler",
    };
  const roots = isOfArgument ? [process.cwd()] : [root || process.cwd(), process.cwd()];
  const found = roots.map((root) => handlerFile(root, handler));
  return found.find(({ problem }) => problem === undefined) ?? found[0];
}

function isOldClient(program) {
  try {
    return /[\\/]aws-lambda-ric[\\/]bin[\\/][^\\/]*$/.test(fs.realpathSync(program));
  } catch {
    // The program is no file, as with `node -e`.
    return false;
  }
}

/// Finds the file and the name of a handler, such as `src/app.handler`, below this root. Returns the problem if there is no file.
///
/// Source: aws-lambda-ric 3.3, `_tryRequire`, and 4.0, `loadModule`.
function handlerFile(root, handler) {
  const [, module, name] = /^([^.]*)\.(.+)$/.exec(path.basename(handler)) ?? [];
  if (module === undefined)
    return { problem: `the handler ${handler} names no function: set it to FILE.FUNCTION, such as index.handler` };
  const folder = path.resolve(root, path.dirname(handler));
  const stem = path.join(folder, module);
  const ending = ["", ".js", ".mjs", ".cjs"].find((ending) => fs.existsSync(stem + ending));
  const { resolve } = createRequire(path.join(root, "_"));
  let found;
  try {
    // A folder has its own main file. Without a file or folder, the handler is in a package.
    found = ending ? stem + ending : ending === "" ? resolve(stem) : resolve(module, { paths: [root, folder] });
  } catch {
    const missing = `${folder} has no file ${module}.js, ${module}.mjs or ${module}.cjs${scripts(folder)}`;
    return { problem: `${missing}: correct the handler ${handler}, or add the file` };
  }
  const options = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(" ")];
  const file = options.includes("--preserve-symlinks") ? found : fs.realpathSync(found);
  const isModule = file.endsWith(".mjs") || (file.endsWith(".js") && isModuleFolder(path.dirname(file)));
  return { file, handler, isModule, name, root };
}

/// Names files of this folder, one of which the handler may mean.
function scripts(folder) {
  let names;
  try {
    names = fs.readdirSync(folder).filter((name) => /\.[cm]?[jt]s$/.test(name));
  } catch {
    return "";
  }
  return names.length > 0 ? `, but ${names.slice(0, SHOWN).join(", ")}` : "";
}

/// Returns the reason for which the runtime will find no handler, or the layer cannot replace it, or `undefined`.
function problemOf(exports, { file, handler, name }) {
  const base = path.basename(file);
  if (typeof name.split(".").reduce((holder, name) => holder?.[name], exports) === "function") return undefined;
  if (isPromise(exports)) return `${base} exports a promise: export the handler itself`;
  // The values are not read, because getters of a bundle may load modules.
  const names = Object.keys(Object(exports));
  const others = names.length > 0 ? `; its exports are ${names.slice(0, SHOWN).join(", ")}` : "";
  return `${base} exports no function ${name}${others}: correct the handler ${handler}, or export the function`;
}

function isModuleFolder(folder) {
  const description = path.join(folder, "package.json");
  if (fs.existsSync(description)) return readJson(description).type === "module";
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
