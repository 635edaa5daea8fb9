// Replaces the handler in an ES module for the runtime. The runtime gets a facade module, which re-exports the real module and
// overrides the handler's name. All other importers get the real module, including circular imports. Nothing is copied, so that
// importers see later assignments to the module's exports.
//
// Versions of Node without `registerHooks` run import hooks in a thread. That thread gets functions of this file as source text:
// its start takes 4 ms longer if it loads a CommonJS file.
//
// Source: Node.js documentation, "Modules: node:module API", "Customization Hooks".

"use strict";

const MARK = "?lambda-otlp";
/// Key of the global function that returns the replaced exports to the facade module.
const KEY = "lambda-otlp: facade";
/// URL of the handler's module, and source of the facade module.
let url;
let source;
let isGiven = false;

/// Replaces the export of the module at `file` that the first part of `name` selects. `replaced` maps the exports to new ones.
function replaceExport({ file, name }, replaced) {
  const nodeModule = require("node:module");
  const { pathToFileURL } = require("node:url");
  const [exported] = name.split(".");
  url = pathToFileURL(file).href;
  const real = JSON.stringify(url);
  // The explicit export takes precedence over the same name in `export *`.
  source = `import * as real from ${real};
export * from ${real};
const exported = globalThis[Symbol.for(${JSON.stringify(KEY)})](real)[${JSON.stringify(exported)}];
export { exported as ${JSON.stringify(exported)} };`;
  // The facade imports nothing of the layer: the function's own hooks would see it.
  const key = Symbol.for(KEY);
  const replacement = (real) => {
    delete globalThis[key];
    return replaced(real);
  };
  Object.defineProperty(globalThis, key, { value: replacement, configurable: true });
  if (typeof nodeModule.registerHooks !== "function") {
    nodeModule.register(`data:text/javascript,${encodeURIComponent(hooksOfThread())}`);
    return;
  }
  const hooks = nodeModule.registerHooks({
    resolve: (specifier, context, next) => resolved(next(specifier, context)),
    load: (address, context, next) => {
      if (address !== url + MARK) return next(address, context);
      // The function's modules load after this, without the hooks.
      hooks.deregister();
      return loaded();
    },
  });
}

/// Returns the source of the same hooks for the thread, without the rest of this file.
function hooksOfThread() {
  return `const [MARK, url, source] = ${JSON.stringify([MARK, url, source])};
let isGiven = false;
${resolved}
${loaded}
export const resolve = async (specifier, context, next) => resolved(await next(specifier, context));
export const load = async (address, context, next) => address === url + MARK ? loaded() : next(address, context);`;
}

/// Resolves the first import of the handler's module, which is the runtime's, to the facade module.
function resolved(found) {
  if (isGiven || found.url !== url) return found;
  isGiven = true;
  return { url: url + MARK, format: "module", shortCircuit: true };
}

function loaded() {
  return { format: "module", source, shortCircuit: true };
}

exports.replaceExport = replaceExport;
