// The clock and timers of before the function's code, for the layer's files; `clock.mjs` has those of OpenTelemetry's packages.

"use strict";

const { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = globalThis;

module.exports = { clearInterval, clearTimeout, now: Date.now, setImmediate, setInterval, setTimeout };
