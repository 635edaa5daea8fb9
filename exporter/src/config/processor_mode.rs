//! The time at which telemetry is written.

use super::Config;
use settings::Env;
use std::fmt;

/// When telemetry is written (`LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE`, which overrides code).
///
/// Every mode writes a full buffer early, ended spans shortly before a timeout, and the rest at SIGTERM, which Lambda sends if
/// any extension is registered. An unavailable mode becomes `Sync`, with the reason in one line on stderr.
///
/// ```
/// use lambda_otlp_exporter::{ProcessorMode, TelemetryConfig};
///
/// let config = TelemetryConfig::builder().with_processor_mode(ProcessorMode::Async).build();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProcessorMode {
    /// Before the response. Registers no extension.
    #[default]
    Sync,
    /// After the response: the process registers itself as an extension, which Lambda notifies of each invocation, and writes
    /// while the response is sent. The caller does not wait, but the time is billed. With SnapStart it is `Sync`.
    Async,
    /// At the end of the environment, for the SDK's own batch processor and periodic reader, which export on their own schedule.
    /// The process registers itself as an extension without events, so that Lambda sends SIGTERM.
    Finalize,
}

impl ProcessorMode {
    /// Returns the mode from the environment, or else this one, or else `Sync`. An invalid variable is ignored.
    ///
    /// ```
    /// use lambda_otlp_exporter::ProcessorMode;
    ///
    /// assert_eq!(ProcessorMode::resolve(None), ProcessorMode::Sync);
    /// ```
    #[must_use]
    pub fn resolve(from_code: Option<Self>) -> Self {
        Config::from_source(&Env).mode.or(from_code).unwrap_or_default()
    }
}

impl fmt::Display for ProcessorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Finalize => "finalize",
        })
    }
}
