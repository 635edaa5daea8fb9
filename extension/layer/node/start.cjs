// Node loads this before the function's runtime, because the wrapper named it in NODE_OPTIONS. Every Node has to be able to read
// it: in an image of one's own nobody but Node itself says how old it is.
//
// Whatever goes wrong here is a line on stderr, and the function runs without.

"use strict";

/* eslint-disable no-var */
var threads = null;
try {
  threads = require("worker_threads");
} catch (error) {
  // Node 10 has none.
}

function start() {
  // Programs that the function starts are not instrumented.
  var rest = (process.env.NODE_OPTIONS || "").split(" ").filter(function (option) {
    return option !== "" && !/^--require=.*\/lambda-otlp\/node\/start\.cjs$/.test(option);
  });
  if (rest.length > 0) process.env.NODE_OPTIONS = rest.join(" ");
  else delete process.env.NODE_OPTIONS;

  var version = process.versions.node.split(".").map(Number);
  // What OpenTelemetry's packages need.
  var isNew = version[0] > 20 || (version[0] === 20 && version[1] >= 6) || (version[0] === 18 && version[1] >= 19);
  if (isNew) require("./instrument.cjs").main();
  else say("without instrumentation: it needs Node 18.19, 20.6 or later, and this is " + process.versions.node);
}

function say(text) {
  process.stderr.write("lambda-otlp-handler: " + text + "\n");
}

// A thread that the function starts, and the loader's own, load this too.
if (threads === null || threads.isMainThread) {
  try {
    start();
  } catch (error) {
    say("instrumentation failed, the function continues without it: " + error);
  }
}
