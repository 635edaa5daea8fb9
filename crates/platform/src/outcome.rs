//! Says how an invocation or one of its phases ended.

use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::event::{EventKind, PlatformEvent};
use crate::invocations::{Invocation, Phase};

/// How an invocation or phase ended.
pub(crate) enum Outcome {
    Unknown,
    Succeeded,
    /// With the error type, and the message if Lambda wrote one.
    Failed(String, Option<String>),
}

/// The first failure that says its type, else the first failure, decides.
pub(crate) fn outcome_of<'a>(phases: impl Iterator<Item = &'a Phase>) -> Outcome {
    let mut failure: Option<&PlatformEvent> = None;
    let mut outcome = Outcome::Unknown;
    for Phase { event, .. } in phases {
        if !event.is_failure() {
            if event.status.is_some() {
                outcome = Outcome::Succeeded;
            }
        } else if failure
            .is_none_or(|first| first.error_type.is_none() && event.error_type.is_some())
        {
            failure = Some(event);
        }
    }
    let Some(event) = failure else { return outcome };
    let fallback = match event.kind {
        EventKind::Timeout => "timeout",
        EventKind::ExitError | EventKind::Fault => "Runtime.ExitError",
        _ => event.status.as_deref().unwrap_or("_OTHER"),
    };
    let error_type = event.counted_error_type().unwrap_or(fallback);
    Outcome::Failed(error_type.to_owned(), event.message.clone())
}

/// The invocation's own events decide. An init phase that failed counts only where they say
/// nothing: Lambda runs it again, and the invocation may go well.
pub(crate) fn outcome_of_invocation(invocation: &Invocation) -> Outcome {
    let own = outcome_of(invocation.own_phases());
    if !matches!(own, Outcome::Unknown) {
        return own;
    }
    let closed = invocation.closed.and_then(|(ending, _)| ending.error_type());
    if let Some(error_type) = closed {
        return Outcome::Failed(error_type.to_owned(), None);
    }
    match outcome_of(invocation.phases.iter().filter(|phase| phase.is_before())) {
        Outcome::Failed(error_type, message) => Outcome::Failed(error_type, message),
        Outcome::Succeeded | Outcome::Unknown => Outcome::Unknown,
    }
}

pub(crate) fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Unknown => Status::default(),
        Outcome::Succeeded => Status { code: StatusCode::Ok as i32, ..Status::default() },
        Outcome::Failed(error_type, message) => Status {
            code: StatusCode::Error as i32,
            message: message.clone().unwrap_or_else(|| error_type.clone()),
        },
    }
}
