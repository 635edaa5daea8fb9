// Writes the spans of an invocation if the process ends during it: by an uncaught exception, an unhandled rejection, or
// `process.exit()`.
//
// A process that ends cannot wait for an export. Ended spans that are not on their way to the extension are written as OTLP
// lines. Open spans end and are written too, as errors with `lambda_otlp.partial`. The invocation's span records the exception.
// These spans are final, because no later version can follow. A process that ends between invocations has nothing to write.
//
// Source: Node.js documentation, "Process", events `exit`, `uncaughtExceptionMonitor` and `unhandledRejection`.

"use strict";

const { clock, say } = require("./originals.cjs");
const { FAILURES, replaceEmit } = require("./ending.cjs");

// Time limit for writing the lines.
const LONGEST_MS = 1000;

/// Prepares the process for its end. `flush` makes the SDK pass ended spans to `exporter` synchronously. `encode` returns an OTLP
/// request with the given spans.
function leaveLastWords({ cutOffs, exporter, flush, encode }) {
  // A listener for `unhandledRejection` would disable Node's default, which ends the process. The function's own listeners for
  // `exit` may end spans, and must run first.
  replaceEmit(
    (emit) =>
      function (event, ...values) {
        if (event === "uncaughtExceptionMonitor" || event === "unhandledRejection") cutOffs.noteFailure(values[0]);
        try {
          if (FAILURES.includes(event)) return require("./frames.cjs").withoutFrames(() => emit.call(this, event, ...values));
          return emit.call(this, event, ...values);
        } finally {
          if (event === "exit") writeUnsentSpans(values[0]);
        }
      },
  );

  function writeUnsentSpans(code) {
    try {
      const spans = exporter.collectUnsent(() => {
        // Flushing the ended spans makes room in the queue for the open ones.
        flush();
        cutOffs.endOpen(code);
        flush();
      });
      if (spans.length === 0) return;
      const { writeLines } = require("./lines.cjs");
      // Writes the invocation's span first, which ended last.
      const written = writeLines(spans.reverse(), encode, clock.now() + LONGEST_MS);
      cutOffs.records.markWritten(written.map((span) => span.spanContext()));
      const lost = spans.length - written.length;
      if (lost > 0)
        throw new Error(`${lost} of ${spans.length} spans are too large for an OTLP line, or stdout is blocked or closed`);
    } catch (error) {
      say(`cannot write all spans at process exit: ${error}`);
    }
  }
}

module.exports = { leaveLastWords };
