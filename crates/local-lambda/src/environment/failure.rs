//! The failures of an init or an invocation.

use super::extensions::ExtensionFailure;
use crate::api::server;
use crate::failure::ReportedFailure;
use crate::invocation::InvocationResult;
use crate::platform_events::Status;
use std::io;
use std::process::ExitStatus;

const EXIT_ERROR: &str = "Runtime.ExitError";
/// AWS's error type for a bootstrap that cannot be started.
const INVALID_ENTRYPOINT: &str = "Runtime.InvalidEntrypoint";
const UNKNOWN: &str = "Runtime.Unknown";
const OUT_OF_MEMORY: &str = "Runtime.OutOfMemory";

/// The reason for which the processes did not become ready, or an invocation was not finished.
#[derive(Debug)]
pub(crate) enum ProcessFailure {
    Start(io::Error),
    /// The runtime reported that its init failed.
    Reported(ReportedFailure),
    Extension(ExtensionFailure),
    Exited,
    Timeout,
}

impl ProcessFailure {
    pub(crate) fn status(&self, out_of_memory: bool) -> Status {
        Status::Error(match self {
            Self::Timeout => return Status::Timeout,
            Self::Start(_) => INVALID_ENTRYPOINT.to_owned(),
            Self::Reported(failure) => failure.platform_type.clone(),
            Self::Extension(failure) => failure.error_type.clone(),
            Self::Exited if out_of_memory => OUT_OF_MEMORY.to_owned(),
            Self::Exited => EXIT_ERROR.to_owned(),
        })
    }

    /// The status of `platform.initRuntimeDone`, which has no timeout (runtime interface emulator, `getFirstFatalError`).
    pub(crate) fn init_status(&self) -> Status {
        match self {
            Self::Timeout => Status::Error(UNKNOWN.to_owned()),
            other => other.status(false),
        }
    }

    pub(crate) fn shutdown_reason(&self) -> ShutdownReason {
        match self {
            Self::Timeout => ShutdownReason::Timeout,
            _ => ShutdownReason::Failure,
        }
    }

    /// The result for the caller; `exit` is the status with which the runtime's process ended.
    pub(crate) fn result(&self, exit: Option<ExitStatus>) -> InvocationResult {
        let (error_type, message) = match self {
            Self::Reported(failure) => return failure.clone().into(),
            Self::Exited => return InvocationResult::Crash { status: exit },
            Self::Timeout => return InvocationResult::Timeout,
            Self::Extension(failure) => (failure.error_type.clone(), failure.message.clone()),
            Self::Start(error) => {
                let message = format!("the bootstrap could not be started: {error}");
                (INVALID_ENTRYPOINT.to_owned(), message)
            }
        };
        let body = server::error_body(&error_type, &message);
        InvocationResult::FunctionError { error_type, body: body.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutdownReason {
    Spindown,
    Timeout,
    Failure,
}

impl ShutdownReason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}
