//! Determines the result of an invocation or of one of its phases.

use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::event::{EventKind, PlatformEvent};
use crate::spans::invocation::{Invocation, Phase};

pub(crate) enum InvocationStatus {
    Unknown,
    Succeeded,
    /// With the error type, and Lambda's message if there is one.
    Failed(String, Option<String>),
}

impl InvocationStatus {
    /// The result of these phases: the first failure with an error type decides, or else the first failure.
    pub(crate) fn of_phases<'a>(phases: impl Iterator<Item = &'a Phase>) -> Self {
        let mut failure: Option<&PlatformEvent> = None;
        let mut status = Self::Unknown;
        for Phase { event, .. } in phases {
            if !event.is_failure() {
                if event.status.is_some() {
                    status = Self::Succeeded;
                }
            } else if failure
                .is_none_or(|first| first.error_type.is_none() && event.error_type.is_some())
            {
                failure = Some(event);
            }
        }
        let Some(event) = failure else { return status };
        let fallback = match event.kind {
            EventKind::Timeout => "timeout",
            EventKind::ExitError | EventKind::Fault => "Runtime.ExitError",
            _ => event.status.as_deref().unwrap_or("_OTHER"),
        };
        let error_type = event.counted_error_type().unwrap_or(fallback);
        Self::Failed(error_type.to_owned(), event.message.clone())
    }

    /// The result of an invocation, from its own events. A failed init phase counts only if they state none: Lambda repeats that
    /// phase, and the invocation may succeed.
    pub(crate) fn of_invocation(invocation: &Invocation) -> Self {
        let own = Self::of_phases(invocation.own_phases());
        if !matches!(own, Self::Unknown) {
            return own;
        }
        let closed = invocation.closed.and_then(|(ending, _)| ending.error_type());
        if let Some(error_type) = closed {
            return Self::Failed(error_type.to_owned(), None);
        }
        match Self::of_phases(invocation.phases.iter().filter(|phase| phase.is_before())) {
            Self::Failed(error_type, message) => Self::Failed(error_type, message),
            Self::Succeeded | Self::Unknown => Self::Unknown,
        }
    }

    pub(crate) fn to_otlp(&self) -> Status {
        match self {
            Self::Unknown => Status::default(),
            Self::Succeeded => Status { code: StatusCode::Ok as i32, ..Status::default() },
            Self::Failed(error_type, message) => Status {
                code: StatusCode::Error as i32,
                message: message.clone().unwrap_or_else(|| error_type.clone()),
            },
        }
    }
}
