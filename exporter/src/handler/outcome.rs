//! The outcome of a handler.

use super::answer::{ResponseFacts, read_answer};
use super::handler_error::{HandlerError, OTHER};
use super::panic_place::{self, message_of_panic};
use serde::Serialize;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The facts of a response, or the failure of the invocation.
pub(crate) type HandlerOutcome = Result<ResponseFacts, HandlerFailure>;

#[derive(Clone, Debug)]
pub(crate) struct HandlerFailure {
    pub(super) error_type: String,
    pub(super) message: String,
    /// The causes, or the place of a panic; empty without any.
    pub(super) stack_trace: String,
    /// The status of an HTTP response that failed after its head was sent.
    pub(super) status_code: Option<u16>,
    pub(super) kind: FailureKind,
}

/// How an invocation failed, which decides who else reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The handler or the body of its response gave an error. Only `lambda_runtime` logs it, to the subscriber that there may be.
    Error,
    /// The panic hook prints it.
    Panic,
    /// The runtime did not pass the event to the handler. Its own report becomes the record.
    Refused,
    /// The answer of a durable function reports it, to the service too.
    Answer,
    /// The handler did not end. Lambda reports why.
    Cancelled,
}

/// Returns the status of a durable execution, if its function answered one, and the type and message of its failure.
pub(super) fn execution_status(
    outcome: &HandlerOutcome,
) -> Option<(&'static str, Option<(&str, &str)>)> {
    match outcome {
        Ok(facts) => Some((facts.execution_status?, None)),
        Err(failure) if failure.kind == FailureKind::Answer => {
            Some((FAILED, Some((&failure.error_type, &failure.message))))
        }
        Err(_) => None,
    }
}

impl HandlerFailure {
    /// Returns `true` if Lambda counts the invocation as failed.
    pub(super) fn is_of_handler(&self) -> bool {
        !matches!(self.kind, FailureKind::Answer | FailureKind::Cancelled)
    }

    pub(super) fn refused(error_type: String, message: &str) -> Self {
        Self::new(FailureKind::Refused, error_type, message)
    }

    pub(super) fn cancelled(message: &str) -> Self {
        Self::new(FailureKind::Cancelled, "cancelled", message)
    }

    /// The failure of an invocation whose task unwinds because of another panic than the handler's.
    pub(super) fn task_panicked() -> Self {
        Self::new(FailureKind::Panic, PANIC, "the invocation's task panicked")
    }

    pub(super) fn new(
        kind: FailureKind,
        error_type: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let error_type = error_type.into();
        let message = message.into();
        Self { error_type, message, stack_trace: String::new(), status_code: None, kind }
    }

    /// Returns the failure of a handler that returned an error. An error that panics while it is formatted has no message.
    pub(super) fn of_error<Form>(error: &impl HandlerError<Form>) -> Self {
        let described = || Self {
            error_type: error.error_type(),
            message: error.message(),
            stack_trace: error.stack_trace(),
            status_code: None,
            kind: FailureKind::Error,
        };
        catch_unwind(AssertUnwindSafe(described))
            .unwrap_or_else(|_| Self::new(FailureKind::Error, OTHER, ""))
    }

    /// Returns the failure of a handler that panicked on this thread.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let message = message_of_panic(panic);
        let stack_trace = panic_place::stack_trace(&message);
        Self { stack_trace, ..Self::new(FailureKind::Panic, PANIC, message) }
    }
}

/// The status of a durable execution that failed.
const FAILED: &str = "FAILED";

/// The error type of a panic.
const PANIC: &str = "panic";

/// Returns the outcome of a handler that has ended; that of a durable function has rules of its own.
pub(super) fn outcome_of<R: Serialize, E: HandlerError<Form>, Form>(
    result: &Result<R, E>,
    is_durable: bool,
) -> HandlerOutcome {
    match result {
        // This calls the application's code.
        Ok(response) => catch_unwind(AssertUnwindSafe(|| read_answer(response, is_durable)))
            .unwrap_or_else(|_| Ok(ResponseFacts::default())),
        Err(error) => Err(HandlerFailure::of_error(error)),
    }
}
