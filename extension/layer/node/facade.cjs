// Gives the runtime the handler's module, where that is one of the language, with another handler in it. The runtime gets a module
// that re-exports the real one and names the handler anew. Everybody else gets the real one, also in a circle of imports: nothing
// is copied, so that all sees what a module assigns to its exports later.
//
// Where Node customizes imports in a thread, that thread gets functions of this file as the text of a module: the start of the thread
// takes 4 ms longer if it has to load a CommonJS file.
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
  url = pathToFileURL(file).href;
  const real = JSON.stringify(url);
  // What the real one exports under the name is hidden by what this one does.
  source = `import { createRequire } from "node:module";
import * as real from ${real};
export * from ${real};
const facade = createRequire(${JSON.stringify(__filename)})(${JSON.stringify(__filename)});
const exported = facade.replacement(real)[${JSON.stringify(exported)}];
export { exported as ${JSON.stringify(exported)} };`;
  replace = replaced;
  if (typeof nodeModule.registerHooks !== "function") {
    nodeModule.register(`data:text/javascript,${encodeURIComponent(hooksOfThread())}`);
    return;
  }
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

/// The same hooks for the thread, without anything of this file around them.
function hooksOfThread() {
  return `const [MARK, url, source] = ${JSON.stringify([MARK, url, source])};
let isGiven = false;
${resolved}
${loaded}
export const resolve = async (specifier, context, next) => resolved(await next(specifier, context));
export const load = async (address, context, next) => address === url + MARK ? loaded() : next(address, context);`;
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
