//! The figures of Lambda's events with their units and plausible ranges.

/// Bytes of a mebibyte, which Lambda prints as "MB".
pub(crate) const MIB: f64 = 1_048_576.0;

/// The figures of an event, in Lambda's own units. All are finite and not negative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Duration in milliseconds of the part that the event reports on, for example the invocation.
    pub duration_ms: Option<f64>,
    /// Billed duration in milliseconds; since August 2025 it includes the init phase.
    pub billed_duration_ms: Option<f64>,
    /// Configured memory in MiB (Lambda prints "MB").
    pub memory_size_mb: Option<f64>,
    /// Highest memory use over the environment's life in MiB (Lambda prints "MB").
    pub max_memory_used_mb: Option<f64>,
    /// Duration of the init phase in milliseconds; on a report it marks a cold start.
    pub init_duration_ms: Option<f64>,
    /// Duration of the SnapStart restore in milliseconds; on a report it marks a cold start.
    pub restore_duration_ms: Option<f64>,
    pub billed_restore_duration_ms: Option<f64>,
    /// Bytes of the response (Telemetry API only).
    pub produced_bytes: Option<f64>,
    /// Memory of the environment in MiB (`instanceMaxMemory`).
    pub instance_max_memory_mb: Option<f64>,
    pub dropped_records: Option<f64>,
    /// Bytes of log records that Lambda dropped.
    pub dropped_bytes: Option<f64>,
    /// The timeout that was reached, in milliseconds (`Task timed out after …`).
    pub timeout_ms: Option<f64>,
}

/// The largest plausible figure: a thousand times the largest that Lambda can report, and small enough that sums stay finite and
/// exact to the byte.
const MAX_FIGURE: f64 = 1e12;

/// Returns the value unless it is negative, not a number, infinite or implausibly large.
pub(crate) fn plausible(value: f64) -> Option<f64> {
    (0.0..=MAX_FIGURE).contains(&value).then_some(value)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is plausible: not negative, and at most 1e18 nanoseconds"
)]
pub(crate) fn nanoseconds(ms: f64) -> u64 {
    (ms * 1e6) as u64
}

pub(crate) fn seconds(ms: f64) -> f64 {
    ms / 1000.0
}
