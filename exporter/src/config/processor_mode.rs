//! When telemetry is written.

use super::Config;
use settings::Env;
use std::fmt;

/// When telemetry is written (`LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE`, which wins over code).
///
/// In each mode a full buffer is written early, what has ended is written shortly before a timeout, and what is left at SIGTERM, which
/// Lambda sends where an extension is registered, inside the process or beside it. A mode that cannot be had is `Sync`, and one line on
/// stderr says why.
///
/// ```
/// use lambda_otlp_exporter::{ProcessorMode, TelemetryConfig};
///
/// let config = TelemetryConfig::builder().with_processor_mode(ProcessorMode::Async).build();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProcessorMode {
    /// Before the response is returned. Registers no extension.
    #[default]
    Sync,
    /// After the response: the process registers itself as an extension that Lambda tells of each invocation, and writes while the
    /// response is on its way. The caller waits for no write; the invocation is billed until it is done. Under SnapStart it is `Sync`.
    Async,
    /// When the environment ends, and not when an invocation does: for the SDK's own batch processor and periodic reader, which
    /// export when they will. The process registers itself as an extension without events, so that Lambda sends SIGTERM.
    Finalize,
}

impl ProcessorMode {
    /// The mode of the environment, else this one, else `Sync`. A wrong variable counts as none.
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
