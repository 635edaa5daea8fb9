// Node loads this file before the function's runtime, because the wrapper adds it to NODE_OPTIONS. Its syntax must suit every
// version of Node: in a custom image, only Node itself knows its version.
//
// A failure here is a line on stderr, and the function runs without instrumentation.

"use strict";

/* eslint-disable no-var */
var LAYER = /^--require=.*\/lambda-otlp\/node\/start\.cjs$/;
var REMEDY = "update the function's image to Node 18.19, 20.6 or later, or set LAMBDA_OTLP_INSTRUMENT=off";

// Programs that start the runtime in an image, as in `npx aws-lambda-ric index.handler`. They keep the option for the runtime.
var STARTERS = /(?:^|[\\/])(?:npx|npm|yarn|pnpm|pnpx|corepack)(?:-cli)?(?:\.[cm]?js)?$/;

/// Instruments only the thread that runs the handler, and removes the layer's option from NODE_OPTIONS. Programs that the
/// function starts do not load this file. Its threads load it without the option, and stop here.
function start() {
  var options = (process.env.NODE_OPTIONS || "").split(" ").filter(Boolean);
  var rest = options.filter(function (option) {
    return !LAYER.test(option);
  });
  if (rest.length === options.length || leavesHandlersToThreads() || STARTERS.test(process.argv[1] || "")) return;
  if (rest.length > 0) process.env.NODE_OPTIONS = rest.join(" ");
  else delete process.env.NODE_OPTIONS;

  var version = process.versions.node.split(".").map(Number);
  // The versions that OpenTelemetry's packages support.
  var isNew = version[0] > 20 || (version[0] === 20 && version[1] >= 6) || (version[0] === 18 && version[1] >= 19);
  if (isNew) require("./instrument.cjs").main();
  else say("not instrumented: Node " + process.versions.node + " is too old: " + REMEDY);
}

/// Returns `true` in the main thread on Lambda Managed Instances: the runtime's own threads load and call the handler
/// (aws-lambda-ric 4, `WorkerManager`).
function leavesHandlersToThreads() {
  return process.env.AWS_LAMBDA_MAX_CONCURRENCY !== undefined && require("worker_threads").isMainThread;
}

function say(text) {
  process.stderr.write("lambda-otlp-handler: " + text + "\n");
}

try {
  start();
} catch (error) {
  say("instrumentation failed, the function continues without it: " + error);
}
