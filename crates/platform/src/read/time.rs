//! Reads numeric times of Lambda's events; `wire::timestamp` reads textual ones.

/// The last millisecond accepted by [`of_millis`]: the end of 2553.
pub(crate) const MAX_MS: f64 = 18_429_206_399_999.0;

/// Converts milliseconds from 0 to [`MAX_MS`] to Unix time in nanoseconds, exact to the microsecond.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from float saturate, and the value is bounded"
)]
pub(crate) fn of_millis(ms: f64) -> u64 {
    // A float represents microseconds since 1970 exactly, but not nanoseconds.
    ((ms.clamp(0.0, MAX_MS) * 1000.0).round() as u64) * 1000
}
