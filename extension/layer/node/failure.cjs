// Records the failure of an invocation on its span.

"use strict";

/// Returns the failure as an error. Throws if the failure is an object without a conversion to text.
function recordFailure(api, span, value) {
  span.setStatus({ code: api.SpanStatusCode.ERROR });
  const error = value instanceof Error ? value : new Error(String(value));
  span.recordException(error);
  span.setStatus({ code: api.SpanStatusCode.ERROR, message: error.message });
  return error;
}

module.exports = { recordFailure };
