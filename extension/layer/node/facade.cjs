// Gives the runtime the handler's module, where that is one of the language, with another handler in it. The runtime gets a module
// that re-exports the real one and names the handler anew. Everybody else gets the real one, also in a circle of imports: nothing
// is copied, so that all sees what a module assigns to its exports later.
//
// This file is loaded by the main thread, and by the loader's where Node customizes imports in a thread of its own.
//
// Source: Node.js documentation, "Modules: node:module API", "Customization Hooks".

"use strict";

const MARK = "?lambda-otlp";
/// Of the handler's module, and of what the runtime gets for it.
let url;
let source;
let isGiven = false;
let replace;

/// Has the module at `file` get what `replaced` makes of its exports, under the first part of `name`.
function replaceExport({ file, name }, replaced) {
  const nodeModule = require("node:module");
  const { pathToFileURL } = require("node:url");
  const [exported] = name.split(".");
  const real = JSON.stringify(pathToFileURL(file).href);
  const data = {
    url: pathToFileURL(file).href,
    // What the real one exports under the name is hidden by what this one does.
    source: `import { createRequire } from "node:module";
import * as real from ${real};
export * from ${real};
const facade = createRequire(${JSON.stringify(__filename)})(${JSON.stringify(__filename)});
const exported = facade.replacement(real)[${JSON.stringify(exported)}];
export { exported as ${JSON.stringify(exported)} };`,
  };
  replace = replaced;
  if (typeof nodeModule.registerHooks !== "function") {
    nodeModule.register(pathToFileURL(__filename), { data });
    return;
  }
  initialize(data);
  const hooks = nodeModule.registerHooks({
    resolve: (specifier, context, next) => resolved(next(specifier, context)),
    load: (address, context, next) => {
      if (address !== url + MARK) return next(address, context);
      // Nothing that the function loads passes here.
      hooks.deregister();
      return loaded();
    },
  });
}

/// Called by the module that the runtime gets.
function replacement(real) {
  return replace(real);
}

function initialize(data) {
  ({ url, source } = data);
}

async function resolve(specifier, context, next) {
  return resolved(await next(specifier, context));
}

async function load(address, context, next) {
  return address === url + MARK ? loaded() : next(address, context);
}

/// The first that imports the handler's module is the runtime.
function resolved(found) {
  if (isGiven || found.url !== url) return found;
  isGiven = true;
  return { url: url + MARK, format: "module", shortCircuit: true };
}

function loaded() {
  return { format: "module", source, shortCircuit: true };
}

exports.replaceExport = replaceExport;
exports.replacement = replacement;
exports.initialize = initialize;
exports.resolve = resolve;
exports.load = load;
