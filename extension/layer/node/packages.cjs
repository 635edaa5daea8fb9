// Finds OpenTelemetry's packages in the layer or, without a packages layer, in the function's package. All packages come from one
// place, because the versions of the function and the layer may be incompatible. Only our own code loads packages from the layer,
// so the function keeps its libraries.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");

// The required packages, each with the oldest version that telemetry.cjs supports.
const OLDEST = {
  "@opentelemetry/api": "1.9.0",
  "@opentelemetry/context-async-hooks": "2.0.0",
  "@opentelemetry/core": "2.0.0",
  "@opentelemetry/exporter-trace-otlp-http": "0.205.0",
  "@opentelemetry/instrumentation": "0.200.0",
  "@opentelemetry/resources": "2.0.0",
  "@opentelemetry/sdk-trace-base": "2.0.0",
};
const REMEDY = "add lambda-otlp's Node layer, or set LAMBDA_OTLP_INSTRUMENT=off";

/// Returns a `require` that loads the packages. `root` is the folder of the function's package. Throws if there is no complete
/// set, or if a package of the function is too old.
function findPackages(root) {
  // The layer has the packages of every function in one file (bundle.mjs). Node loads it in a fifth of the time.
  const bundle = path.join(__dirname, "../node-packages/bundle.cjs");
  if (fs.existsSync(bundle)) return require(bundle).load;
  const layer = createRequire(path.join(__dirname, "../node-packages/_"));
  if (isComplete(layer)) return layer;
  const own = createRequire(path.join(root, "_"));
  if (!isComplete(own)) {
    throw new Error(`OpenTelemetry's packages are missing from the function and its layers: ${REMEDY}`);
  }
  for (const [name, oldest] of Object.entries(OLDEST)) {
    const version = versionOf(own.resolve(name), name);
    if (isOlder(version, oldest))
      throw new Error(`the function's ${name} is ${version}, but ${oldest} or later is required: update it, ${REMEDY}`);
  }
  return own;
}

function isComplete(load) {
  return Object.keys(OLDEST).every((name) => isThere(load, name));
}

function isThere(load, name) {
  try {
    return load.resolve(name) !== undefined;
  } catch {
    return false;
  }
}

function versionOf(file, name) {
  const folder = file.slice(0, file.lastIndexOf(`${name}${path.sep}`) + name.length);
  return readJson(path.join(folder, "package.json")).version;
}

/// Reads a JSON file, which may begin with a byte order mark.
function readJson(file) {
  return JSON.parse(fs.readFileSync(file, "utf8").replace(/^\uFEFF/, ""));
}

function isOlder(version, oldest) {
  const numbers = numbersOf(version);
  const oldestNumbers = numbersOf(oldest);
  const different = numbers.findIndex((number, index) => number !== oldestNumbers[index]);
  return different >= 0 && numbers[different] < oldestNumbers[different];
}

function numbersOf(version) {
  return version.split(".").map((part) => Number.parseInt(part, 10));
}

module.exports = { findPackages, isThere, readJson };
