// Removes the layer's frames from the stack of an error that leaves the handler's module or the handler. Stacks are often part of
// an answer, and tools group errors by them.

"use strict";

const path = require("node:path");
const { prepareStackTrace: originalFormat } = require("./originals.cjs");

/// Folders of the layer's files and of OpenTelemetry's packages.
const FOLDERS = [__dirname, path.join(__dirname, "../node-packages")].map((folder) => folder + path.sep);
const FRAME = /^ {4}at /;
/// Frames of Node's own code that calls the handler for the layer.
const CALLED = /^ {4}at AsyncLocalStorage\.run \(node:/;
/// Limit on the errors below one error: its cause, and the errors of an `AggregateError`.
const MAX_ERRORS = 64;

/// Upper limit on the layer's frames between the runtime's code.
const OWN_FRAMES = 16;

/// Removes the frames from this error and from the errors it contains. Leaves values alone that are no errors, and errors that
/// cannot be changed. `caller` has the frames above the layer's (failure.cjs).
function cutFrames(failure, caller) {
  const waiting = [failure];
  for (let index = 0; index < waiting.length && index < MAX_ERRORS; index += 1) {
    const error = waiting[index];
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
  const value = restoredStack(lines, caller) ?? linesOfOthers(lines).join("\n");
  Object.defineProperty(error, "stack", {
    value,
    writable: true,
    configurable: true,
    enumerable: descriptor?.enumerable ?? false,
  });
}

/// Returns the text of a stack without the layer's frames.
function withoutOwnFrames(stack) {
  const hasOwn = typeof stack === "string" && FOLDERS.some((folder) => stack.includes(folder));
  return hasOwn ? linesOfOthers(stack.split("\n")).join("\n") : stack;
}

/// Returns the lines without the layer's frames.
function linesOfOthers(lines) {
  const areOurs = findOurFrames(lines);
  return lines.filter((_line, index) => !areOurs[index]);
}

/// Returns for each line `true` if it is a frame of the layer.
function findOurFrames(lines) {
  const areOurs = lines.map((line) => FRAME.test(line) && FOLDERS.some((folder) => line.includes(folder)));
  // Node's frames between the function's code and ours.
  for (let index = lines.length - 2; index >= 0; index -= 1) areOurs[index] ||= areOurs[index + 1] && CALLED.test(lines[index]);
  return areOurs;
}

/// Returns the stack that the error would have without the layer, if the layer's frames have displaced others: a stack has a
/// limited number of frames. Returns `undefined` if there is room for all.
function restoredStack(lines, caller) {
  // The number of lines before the first frame.
  const head = lines.findIndex((line) => FRAME.test(line));
  const limit = Error.stackTraceLimit;
  if (typeof caller?.stack !== "string" || lines.length - head < limit) return undefined;
  const isEntry = (line, index) => {
    if (!line.includes(caller.file)) return false;
    return !caller.hasContext || index + 1 === lines.length || CALLED.test(lines[index + 1]);
  };
  const entry = lines.findIndex(isEntry);
  if (entry < 0) return undefined;
  const above = linesOfOthers(caller.stack.split("\n").slice(1));
  return [...linesOfOthers(lines.slice(0, entry)), ...above].slice(0, head + limit).join("\n");
}

/// Runs an action of the runtime in which it may make errors itself. Their stacks are made without the layer's frames.
function withoutFrames(action) {
  const { prepareStackTrace, stackTraceLimit } = Error;
  // The function has its own texts.
  if (prepareStackTrace !== originalFormat) return action();
  try {
    Error.prepareStackTrace = (error, frames) => {
      const areOurs = findOurFrames(frames.map((frame) => `    at ${frame}`));
      return textOf(error, frames.filter((_frame, index) => !areOurs[index]).slice(0, stackTraceLimit));
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
  if (originalFormat !== undefined) return originalFormat(error, frames);
  return [Error.prototype.toString.call(error), ...frames.map((frame) => `    at ${frame}`)].join("\n");
}

module.exports = { cutFrames, withoutFrames, withoutOwnFrames };
