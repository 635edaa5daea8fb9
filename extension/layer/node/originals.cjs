// The clock, the timers and the format of stacks as they are before the function's code, which may replace them, and the layer's
// messages. `clock.mjs` has the clock of OpenTelemetry's packages.

"use strict";

const { prepareStackTrace } = Error;
const { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = globalThis;
const clock = { clearInterval, clearTimeout, now: Date.now, setImmediate, setInterval, setTimeout };

/// Writes a line to stderr, which is in the function's log.
function say(text) {
  process.stderr.write(`lambda-otlp-handler: ${text}\n`);
}

module.exports = { clock, prepareStackTrace, say };
