// Node loads this before the function's runtime, because the wrapper named it in NODE_OPTIONS. Every Node has to be able to read
// it: in an image of one's own nobody but Node itself says how old it is.
//
// Whatever goes wrong here is a line on stderr, and the function runs without.

"use strict";

/* eslint-disable no-var */
var LAYER = /^--require=.*\/lambda-otlp\/node\/start\.cjs$/;

/// Programs and threads that the function starts load this without the layer's option, or are never told of it: they are not
/// instrumented.
function start() {
  var options = (process.env.NODE_OPTIONS || "").split(" ").filter(Boolean);
  var rest = options.filter(function (option) {
    return !LAYER.test(option);
  });
  if (rest.length === options.length || leavesHandlersToThreads()) return;
  if (rest.length > 0) process.env.NODE_OPTIONS = rest.join(" ");
  else delete process.env.NODE_OPTIONS;

  var version = process.versions.node.split(".").map(Number);
  // What OpenTelemetry's packages need.
  var isNew = version[0] > 20 || (version[0] === 20 && version[1] >= 6) || (version[0] === 18 && version[1] >= 19);
  if (isNew) require("./instrument.cjs").main();
  else say("without instrumentation: it needs Node 18.19, 20.6 or later, and this is " + process.versions.node);
}

/// On Lambda Managed Instances, the runtime's own threads load and call the handler (aws-lambda-ric 4, `WorkerManager`).
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
