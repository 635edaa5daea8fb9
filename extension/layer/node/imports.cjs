// Passes ES modules of libraries to the layer when the function loads them. A module itself stays as it is: a line after its end
// passes its namespace, whose classes can be changed, unlike its exports.
//
// Versions of Node without `registerHooks` run import hooks in a thread, which gets a function of this file as source text.
//
// Source: Node.js documentation, "Modules: node:module API", "Customization Hooks".

"use strict";

const nodeModule = require("node:module");

/// Key of the global function that gets the namespaces.
const KEY = "lambda-otlp: imports";

/// Calls `action` with the URL and the namespace of each ES module whose URL matches the pattern.
function whenImported(pattern, action) {
  Object.defineProperty(globalThis, Symbol.for(KEY), { value: action, configurable: true });
  if (typeof nodeModule.registerHooks === "function") {
    nodeModule.registerHooks({ load: (address, context, next) => noticed(pattern, KEY, address, next(address, context)) });
    return;
  }
  const source = `${noticed}
export const load = async (address, context, next) =>
  noticed(${pattern}, ${JSON.stringify(KEY)}, address, await next(address, context));`;
  nodeModule.register(`data:text/javascript,${encodeURIComponent(source)}`);
}

/// Adds the line to a loaded module that matches.
function noticed(pattern, key, address, loaded) {
  if (!pattern.test(address) || loaded.format !== "module" || loaded.source === null || loaded.source === undefined)
    return loaded;
  const text = typeof loaded.source === "string" ? loaded.source : new TextDecoder().decode(loaded.source);
  const [url, symbol] = [address, key].map((each) => JSON.stringify(each));
  const line = `import * as lambdaOtlpNamespace from ${url}; globalThis[Symbol.for(${symbol})]?.(${url}, lambdaOtlpNamespace);`;
  return { ...loaded, source: `${text}\n${line}\n` };
}

module.exports = { whenImported };
