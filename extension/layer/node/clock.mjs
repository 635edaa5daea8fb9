// The clock and timers of before the function's code, for OpenTelemetry's packages: esbuild puts them in the place of the global
// names. The function may replace these, for example to freeze the time.

const { now } = Date;
export { now as "Date.now" };

const { performance: real } = globalThis;
export const performance = { now: real.now.bind(real), timeOrigin: real.timeOrigin };

const { clearInterval, clearTimeout, setInterval, setTimeout } = globalThis;
export { clearInterval, clearTimeout, setInterval, setTimeout };
