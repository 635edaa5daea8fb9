// Removes the layer's frames from the stack of an error that leaves the handler's module or the handler. Stacks are often part of
// an answer, and tools group errors by them.

"use strict";

const path = require("node:path");
const clock = require("./clock.cjs");

/// Folders of the layer's files and of OpenTelemetry's packages.
const FOLDERS = [__dirname, path.join(__dirname, "../node-packages")].map((folder) => folder + path.sep);
const FRAME = /^ {4}at /;
/// Frames of Node's own code that calls the handler for the layer.
const CALLED = /^ {4}at AsyncLocalStorage\.run \(node:/;
/// Limit on the errors below one error: its cause, and the errors of an `AggregateError`.
const MOST_ERRORS = 64;

/// Upper limit on the layer's frames between the runtime's code.
const OWN_FRAMES = 16;

/// Removes the frames from this error and from the errors it contains. Leaves values alone that are no errors, and errors that
/// cannot be changed. `caller` has the frames above the layer's (failure.cjs).
function cutFrames(failure, caller) {
  const waiting = [failure];
  for (let at = 0; at < waiting.length && at < MOST_ERRORS; at += 1) {
    const error = waiting[at];
    try {
      if (!(error instanceof Error)) continue;
      cutStack(error, caller);
      // Values of the error's own, which no getter computes.
      for (const name of ["cause", "errors"]) {
        const inner = Object.getOwnPropertyDescriptor(error, name)?.value;
        for (const each of Array.isArray(inner) ? inner : [inner]) if (!waiting.includes(each)) waiting.push(each);
      }
    } catch {
      // The function's own class of errors may refuse any of this.
    }
  }
}

function cutStack(error, caller) {
  const { stack } = error;
  if (typeof stack !== "string" || !FOLDERS.some((folder) => stack.includes(folder))) return;
  const lines = stack.split("\n");
  const descriptor = Object.getOwnPropertyDescriptor(error, "stack");
  const value = completed(lines, caller) ?? others(lines).join("\n");
  Object.defineProperty(error, "stack", {
    value,
    writable: true,
    configurable: true,
    enumerable: descriptor?.enumerable ?? false,
  });
}

/// Returns the lines without the layer's frames.
function others(lines) {
  const areOurs = ofLayer(lines);
  return lines.filter((_line, at) => !areOurs[at]);
}

/// Tells of each line if it is a frame of the layer.
function ofLayer(lines) {
  const areOurs = lines.map((line) => FRAME.test(line) && FOLDERS.some((folder) => line.includes(folder)));
  // Node's frames between the function's code and ours.
  for (let at = lines.length - 2; at >= 0; at -= 1) areOurs[at] ||= areOurs[at + 1] && CALLED.test(lines[at]);
  return areOurs;
}

/// Returns the stack that the error would have without the layer, if the layer's frames have displaced others: a stack has a
/// limited number of frames. Returns `undefined` if there is room for all.
function completed(lines, caller) {
  const head = lines.findIndex((line) => FRAME.test(line));
  const limit = Error.stackTraceLimit;
  if (typeof caller?.stack !== "string" || lines.length - head < limit) return undefined;
  const isEntry = (line, at) => {
    if (!line.includes(caller.file)) return false;
    return !caller.hasContext || at + 1 === lines.length || CALLED.test(lines[at + 1]);
  };
  const entry = lines.findIndex(isEntry);
  if (entry < 0) return undefined;
  const above = others(caller.stack.split("\n").slice(1));
  return [...others(lines.slice(0, entry)), ...above].slice(0, head + limit).join("\n");
}

/// Runs an action of the runtime in which it may make errors itself. Their stacks are made without the layer's frames.
function withoutFrames(action) {
  const { prepareStackTrace, stackTraceLimit } = Error;
  // The function has its own texts.
  if (prepareStackTrace !== clock.prepareStackTrace) return action();
  try {
    Error.prepareStackTrace = (error, frames) => {
      const areOurs = ofLayer(frames.map((frame) => `    at ${frame}`));
      return textOf(error, frames.filter((_frame, at) => !areOurs[at]).slice(0, stackTraceLimit));
    };
    // Makes room for the layer's frames.
    Error.stackTraceLimit = stackTraceLimit + OWN_FRAMES;
  } catch {
    // The function may have frozen the class.
    return action();
  }
  try {
    return action();
  } finally {
    if (prepareStackTrace === undefined) delete Error.prepareStackTrace;
    else Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/// Returns the stack as Node makes it. Node 18 has no function for that.
function textOf(error, frames) {
  if (clock.prepareStackTrace !== undefined) return clock.prepareStackTrace(error, frames);
  return [Error.prototype.toString.call(error), ...frames.map((frame) => `    at ${frame}`)].join("\n");
}

module.exports = { cutFrames, withoutFrames };
