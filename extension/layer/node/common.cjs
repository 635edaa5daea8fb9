// The clock, the timers and the format of stacks of before the function's code, for the layer's files; `clock.mjs` has the clock
// of OpenTelemetry's packages.

"use strict";

const { prepareStackTrace } = Error;
const { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = globalThis;

module.exports = { clearInterval, clearTimeout, now: Date.now, prepareStackTrace, setImmediate, setInterval, setTimeout };
