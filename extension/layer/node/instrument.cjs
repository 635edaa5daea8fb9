// Prepares OpenTelemetry's instrumentations. Each one patches its library when the function loads it. Once the handler's module
// is loaded and no other tracer is present, starts the SDK and wraps the handler.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { Module, createRequire, syncBuiltinESMExports } = require("node:module");
const { say } = require("./originals.cjs");
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
  new Instrumentation(load, handler, preceding).start();
}

/// Instruments the libraries of a function and wraps its handler, while Node loads their files. If another tracer appears among
/// these, the function is left to it.
class Instrumentation {
  /// `preceding` has the files that were loaded before the layer.
  constructor(load, handler, preceding) {
    const { Libraries, startSdk } = require("./telemetry.cjs");
    const { replaceHandler } = require("./handler.cjs");
    this.load = load;
    this.handler = handler;
    this.startSdk = startSdk;
    this.replaceHandler = replaceHandler;
    this.libraries = new Libraries(load, handler.isModule);
    this.filesOfLayer = new Set(Object.keys(require.cache).filter((file) => !preceding.has(file)));
    /// `true` once the handler is wrapped, or the function is left alone.
    this.isDecided = false;
    /// The packages of tracers of which a file was compiled.
    this.tracingPackages = new Set();
    /// Adds the hooks of `import`, or `undefined` if there is nothing to hook. The hooks are expensive, so they wait for the first
    /// file that needs them. An ES module that a CommonJS file loads needs them too.
    this.instrumentImports = attempt(undefined, () => this.libraries.findImports(path.dirname(handler.file)));
  }

  /// Hooks into the compilation of CommonJS files. Node compiles each file once; a hook of `require` would resolve a file for each
  /// of its uses.
  start() {
    const instrumentation = this;
    const compile = Module.prototype._compile;
    Module.prototype._compile = function compiling(content, file, ...others) {
      const instrumentExports = instrumentation.beforeCompiling(content, file, others[0]);
      try {
        const compiled = compile.call(this, content, file, ...others);
        if (instrumentExports !== undefined) attempt(undefined, () => instrumentExports(this.exports));
        if (!instrumentation.isDecided && file === instrumentation.handler.file)
          this.exports = instrumentation.withWrappedHandler(this.exports);
        return compiled;
      } catch (error) {
        // The innermost of these calls is the first in the stack.
        require("./frames.cjs").cutFrames(error, require("./failure.cjs").callerOf(compiling, __filename));
        throw error;
      }
    };
    this.startAtHandler();
  }

  startAtHandler() {
    // A module that precedes the layer in NODE_OPTIONS may have loaded the handler.
    const cached = require.cache[this.handler.file];
    if (cached?.loaded) {
      cached.exports = this.withWrappedHandler(cached.exports);
    } else if (this.handler.isModule) {
      patchBuiltins();
      this.startImports();
      require("./facade.cjs").replaceExport(this.handler, (exports) => this.withWrappedHandler(exports));
    }
  }

  /// Returns an action for the exports of the file, if they are instrumented.
  beforeCompiling(content, file, format) {
    // Looks for another tracer before its package patches anything.
    if (!this.isDecided && this.noteTracingPackage(file)) attempt(undefined, () => this.leaveToOtherTracer());
    const instrumentExports = attempt(undefined, () => this.libraries.beforeCompiling(file));
    if (this.instrumentImports !== undefined && mayLoadModules(content, file, format)) this.startImports();
    return instrumentExports;
  }

  /// Notes the package of a file if it can be a tracer's. Returns `true` for its first file.
  noteTracingPackage(file) {
    const name = tracingPackage(file);
    if (name === undefined || this.tracingPackages.has(name)) return false;
    this.tracingPackages.add(name);
    return true;
  }

  /// Leaves the function to another tracer if there is one. Returns `true` if this is decided, now or before.
  leaveToOtherTracer() {
    if (this.isDecided) return true;
    const tracer = findTracer((file) => this.filesOfLayer.has(file));
    if (tracer === undefined) return false;
    this.isDecided = true;
    this.libraries.release();
    leaveAlone(tracer);
    return true;
  }

  startImports() {
    const start = this.instrumentImports;
    this.instrumentImports = undefined;
    attempt(undefined, () => start?.());
  }

  /// Returns the exports of the handler's file with the wrapped handler, or unchanged if the function is left alone.
  withWrappedHandler(exports) {
    return attempt(exports, () => {
      if (this.leaveToOtherTracer()) return exports;
      this.isDecided = true;
      const problem = problemOf(exports, this.handler);
      if (problem !== undefined) {
        say(`not instrumented: ${problem}`);
        return exports;
      }
      return this.replaceHandler(this.load, this.startSdk(this.load, this.handler), exports, this.handler.name);
    });
  }
}

/// A call of `import` in a line that is no comment.
const IMPORT = /^(?!\s*(?:\/\/|\/?\*)).*\bimport\s*\(/m;

/// Returns `true` if a file that is compiled can load the ES module of a client: `require` has loaded an ES module, or a file of the
/// function calls `import`. Packages call it for other modules: each function with AWS's SDK would pay for the hooks.
function mayLoadModules(content, file, format) {
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

module.exports = { main };
