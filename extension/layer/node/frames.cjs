// Removes the layer's frames from the stack of an error that leaves the handler's module or the handler. Stacks are often part of an
// answer, and tools group errors by them.

"use strict";

const path = require("node:path");

/// Folders of the layer's files and of OpenTelemetry's packages.
const FOLDERS = [__dirname, path.join(__dirname, "../node-packages")].map((folder) => folder + path.sep);
/// Frames of Node's own code that calls the handler for the layer.
const CALLED = /^ {4}at AsyncLocalStorage\.run \(node:/;
/// Limit on the errors below one error: its cause, and the errors of an `AggregateError`.
const MOST_ERRORS = 64;

/// Removes the frames from this error and from the errors it contains. Leaves values alone that are no errors, and errors that cannot
/// be changed.
function cutFrames(failure) {
  const waiting = [failure];
  for (let at = 0; at < waiting.length && at < MOST_ERRORS; at += 1) {
    const error = waiting[at];
    try {
      if (!(error instanceof Error)) continue;
      cutStack(error);
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

function cutStack(error) {
  const { stack } = error;
  if (typeof stack !== "string" || !FOLDERS.some((folder) => stack.includes(folder))) return;
  const lines = stack.split("\n");
  const isOurs = lines.map((line) => /^ {4}at /.test(line) && FOLDERS.some((folder) => line.includes(folder)));
  // Node's frames between the function's code and ours.
  for (let at = lines.length - 2; at >= 0; at -= 1) isOurs[at] ||= isOurs[at + 1] && CALLED.test(lines[at]);
  const descriptor = Object.getOwnPropertyDescriptor(error, "stack");
  const value = lines.filter((_line, at) => !isOurs[at]).join("\n");
  Object.defineProperty(error, "stack", { value, writable: true, configurable: true, enumerable: descriptor?.enumerable ?? false });
}

module.exports = { cutFrames };
