//! How much the table may keep. A function can print any request id any number of times, so each part of an entry has a limit.

/// Invocations that run at a time. A managed instance runs at most 1,600 (AWS Lambda API Reference,
/// `PerExecutionEnvironmentMaxConcurrency`). Beyond the limit, the one that started first counts as ended.
pub(super) const MAX_CONCURRENT: usize = 2000;

/// Invocations with an open span, or with received events, of an environment that runs one at a time. Most have ended: late and
/// repeated events find them.
pub(super) const MAX_KNOWN: usize = 256;

/// Invocations whose count is kept between chunks or batches, for lines that come later.
pub(super) const MAX_COUNTED: usize = 256;

/// Traces of spans, and invocations that spans name, within a chunk: invented ids must not exhaust the memory.
pub(super) const MAX_SEEN: usize = 50_000;

/// Bytes of the events of all open spans. Typical ones of 2,000 invocations have less.
pub(super) const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

/// X-Ray's segments whose invocation is unknown.
pub(super) const MAX_SEGMENTS: usize = 16;
