// What is left of an invocation in whose middle the process ends: by an exception that nobody catches, a rejection that nobody handles,
// or `process.exit()`.
//
// When the process ends nothing can be waited for. What has ended and is not on its way to the extension is written as lines, and so
// are the spans that are open, which end there: errors with `lambda_otlp.partial`, the invocation's own with the exception. They are
// final, since nothing comes after them. A process that ends between invocations has nothing to write.
//
// Source: Node.js documentation, "Process", events `exit`, `uncaughtExceptionMonitor` and `unhandledRejection`.

"use strict";

// What all of it may take.
const LONGEST_MS = 1000;

/// `flush` has the SDK export what has ended, which gives it to `exporter` at once; `encode` makes an OTLP request of spans.
function leaveLastWords({ cutOffs, exporter, flush, encode }) {
  const emit = process.emit;
  // No listeners: where there is one for a rejection that nobody handles, Node leaves it at that, and what the function listens to
  // at its end may end spans.
  process.emit = function (event, ...values) {
    if (event === "uncaughtExceptionMonitor" || event === "unhandledRejection") cutOffs.fail(values[0]);
    try {
      return emit.call(this, event, ...values);
    } finally {
      if (event === "exit") write(values[0]);
    }
  };

  function write(code) {
    try {
      const spans = exporter.rest(() => {
        // What has ended makes room for what is open.
        flush();
        cutOffs.endOpen(code);
        flush();
      });
      if (spans.length === 0) return;
      const { writeLines } = require("./lines.cjs");
      // The invocation's own span ended last.
      const written = writeLines(spans.reverse(), encode, Date.now() + LONGEST_MS);
      cutOffs.records.written(written.map((span) => span.spanContext()));
      if (written.length < spans.length) throw new Error(`${spans.length - written.length} of ${spans.length} are too large for a line, or stdout is blocked`);
    } catch (error) {
      process.stderr.write(`lambda-otlp-handler: cannot write the spans of a process that ends: ${error}\n`);
    }
  }
}

module.exports = { leaveLastWords };
