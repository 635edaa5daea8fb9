// Decides if the spans of models have prompts and answers. Most functions do not load prompts.cjs.

"use strict";

/// OpenTelemetry's variable, and its values that ask for attributes of spans. The layer makes no events.
const VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
const ON_SPANS = ["true", "span_only", "span_and_event"];

/// Returns the module that describes prompts and answers, or `undefined` unless the function asks for them.
function recordedPrompts() {
  const asked = (process.env[VARIABLE] ?? "").trim().toLowerCase();
  return ON_SPANS.includes(asked) ? require("./prompts.cjs") : undefined;
}

module.exports = { recordedPrompts };
