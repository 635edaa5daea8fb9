//! When telemetry is written.

use super::Config;
use settings::Env;
use std::fmt;

/// When telemetry is written (`LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE`, which wins over code).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProcessorMode {
    /// Before the response is returned. Installs nothing: no extension, no signal handler.
    #[default]
    Sync,
    /// After the response, by an internal extension. Not available yet: `Sync` is used, and one line on stderr says so.
    Async,
    /// When the environment ends, for the SDK's own batch processor. Not available yet: `Sync` is used, and one line on
    /// stderr says so.
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
