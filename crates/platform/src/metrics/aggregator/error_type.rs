//! The error types under which metrics count failures.

use crate::event::PlatformEvent;
use crate::metrics::points::ErrorType;
use crate::outcome::{Outcome, OutcomeEvidence, decide};
use crate::read::runtime_error::Failure;

/// The error type of a timeout. It is none of [`KNOWN`].
pub(super) const TIMEOUT: &str = "timeout";

/// The failure under which an invocation or a phase is counted; `None` for a success.
pub(super) fn failure_of(evidence: &OutcomeEvidence) -> ErrorType {
    match decide(evidence) {
        Outcome::Unknown | Outcome::Succeeded => None,
        Outcome::Failed { error_type, .. } if error_type == TIMEOUT => Some(TIMEOUT),
        Outcome::Failed { error_type, .. } => Some(bounded(Some(&error_type))),
    }
}

/// The failure with its full type and message.
pub(crate) fn failure_in(evidence: &OutcomeEvidence) -> Option<Failure> {
    match decide(evidence) {
        Outcome::Unknown | Outcome::Succeeded => None,
        Outcome::Failed { error_type, message } => {
            Some(Failure { error_type: Some(error_type), message })
        }
    }
}

pub(super) fn failure_of_phase(event: &PlatformEvent) -> ErrorType {
    failure_of(&OutcomeEvidence::of_events(std::iter::once(event)))
}

/// Returns a known error type, or `_OTHER` (semantic conventions) for all others. The log record keeps the full error type.
fn bounded(error_type: Option<&str>) -> &'static str {
    let known =
        error_type.and_then(|error_type| KNOWN.iter().find(|known| **known == error_type).copied());
    known.unwrap_or("_OTHER")
}

/// The error types that occur in Lambda's documentation and in captured events.
const KNOWN: &[&str] = &[
    "Extension.ConfigInvalid",
    "Extension.Crash",
    "Extension.ExitError",
    "Extension.InitError",
    "Extension.LaunchError",
    "Function.ResponseSizeTooLarge",
    "Function.Unknown",
    "Function.Unhandled",
    "RestoreError",
    "Runtime.BadFunctionCode",
    "Runtime.ExitError",
    "Runtime.HandlerNotFound",
    "Runtime.ImportModuleError",
    "Runtime.InvalidEntrypoint",
    "Runtime.MalformedHandlerName",
    "Runtime.NoSuchHandler",
    "Runtime.OutOfMemory",
    "Runtime.TruncatedResponse",
    "Runtime.Unknown",
    "Runtime.UserCodeSyntaxError",
    "Sandbox.Timedout",
    "Sandbox.Timeout",
    "Task.Timedout",
];
