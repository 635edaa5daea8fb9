//! The ends of init and invocations, as Lambda's events state them.

use crate::fidelity::HandlerErrorReport;

/// The end of an init or an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    /// The handler reported an error: no failure of the platform, and no part of a text REPORT line.
    HandlerError(String),
    /// The process failed: `Runtime.ExitError` or the type that init reported.
    Error(String),
    Timeout,
}

impl Status {
    /// The status of `platform.runtimeDone`. AWS reports an error of the handler there as a success: the runtime did its part when
    /// it posted the error (runtime interface emulator at 4fa2157; aws-samples/aws-lambda-extensions #85).
    pub(super) fn of_runtime_done(&self) -> &Self {
        match self {
            Self::HandlerError(_) => &Self::Success,
            other => other,
        }
    }

    /// The status of `platform.report`.
    pub(super) fn of_report(&self, handler_error: HandlerErrorReport) -> &Self {
        match handler_error {
            HandlerErrorReport::Error => self,
            HandlerErrorReport::Success => self.of_runtime_done(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::HandlerError(_) | Self::Error(_) => "error",
            Self::Timeout => "timeout",
        }
    }

    pub(super) fn error_type(&self) -> Option<&str> {
        match self {
            Self::HandlerError(error_type) | Self::Error(error_type) => Some(error_type),
            Self::Success | Self::Timeout => None,
        }
    }
}
