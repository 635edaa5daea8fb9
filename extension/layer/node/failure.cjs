// Records the failure of an invocation on its span, and the frames of the layer's caller for the stacks of failures.

"use strict";

/// Returns the failure as an error. Throws if the failure is an object without a conversion to text.
function recordFailure(api, span, value) {
  span.setStatus({ code: api.SpanStatusCode.ERROR });
  const error = value instanceof Error ? value : errorOf(value);
  span.recordException(error);
  span.setStatus({ code: api.SpanStatusCode.ERROR, message: error.message });
  return error;
}

/// Returns an error with the type that the runtime states for a value that is none (aws-lambda-ric, `toRapidResponse`).
function errorOf(value) {
  const error = new Error(String(value));
  error.name = typeof value;
  return error;
}

/// Number of frames to keep of a caller.
const MAX_FRAMES = 50;

/// Returns the frames above this function of the layer, which is running. The function's code is in `file`. If it calls others in
/// a context, `hasContext` is `true`.
function callerOf(called, file, hasContext = false) {
  const caller = { file, hasContext };
  const { stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = MAX_FRAMES;
    // V8 makes the text when it is read.
    Error.captureStackTrace(caller, called);
    Error.stackTraceLimit = stackTraceLimit;
  } catch {
    // The function has frozen the class.
  }
  return caller;
}

module.exports = { callerOf, recordFailure };
