// What the span of an invocation says of the failure that it ended with.

"use strict";

/// Returns the failure as an error. Throws where it is an object that nobody can look at.
function recordFailure(api, span, value) {
  span.setStatus({ code: api.SpanStatusCode.ERROR });
  const error = value instanceof Error ? value : new Error(String(value));
  span.recordException(error);
  span.setStatus({ code: api.SpanStatusCode.ERROR, message: error.message });
  return error;
}

module.exports = { recordFailure };
