//! How much the table may keep. A function can print any request id any number of times, so each part of an entry has a limit.

/// Running invocations. A managed instance runs at most 1,600 at a time (AWS Lambda API Reference,
/// `PerExecutionEnvironmentMaxConcurrency`). Beyond the limit, the one that started first counts as ended.
pub(super) const MAX_RUNNING: usize = 2000;

/// Traces of spans, and invocations that spans name, within a chunk.
pub(super) const MAX_SEEN: usize = 50_000;
