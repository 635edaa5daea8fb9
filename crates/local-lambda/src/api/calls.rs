//! The calls of an environment's processes, and their answers.

use super::server::{self, Answer};
use crate::clock::Timestamp;
use crate::failure::ReportedFailure;
use crate::function::FunctionSpec;
use crate::identifiers::TraceContext;
use crate::invocation::{ClientContext, InvocationRequest};
use crate::platform_events::ResponseTimes;
use crate::telemetry::{InvalidSubscription, SubscriptionSettings};
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) kind: CallKind,
    pub(crate) reply: Reply,
}

pub(crate) type Reply = oneshot::Sender<Answer>;

#[derive(Debug)]
pub(crate) enum CallKind {
    Next,
    Response(PostedResponse),
    InitError(ReportedFailure),
    Register {
        name: String,
        events: Vec<String>,
        wants_account_id: bool,
    },
    NextExtensionEvent {
        extension: String,
    },
    ExtensionReport {
        extension: String,
        error_type: String,
        during_init: bool,
    },
    Subscribe {
        extension: String,
        /// The settings, or why Lambda rejects them.
        settings: Result<SubscriptionSettings, InvalidSubscription>,
    },
}

/// The result of an invocation, as the runtime posts it.
#[derive(Debug)]
pub(crate) struct PostedResponse {
    pub(crate) request_id: String,
    pub(crate) result: Result<Bytes, ReportedFailure>,
    /// The time at which the request began.
    pub(crate) begun: Instant,
    /// The answer if an invocation with this request id is running.
    pub(crate) accepted: Answer,
}

impl PostedResponse {
    /// Returns the times of the response to an event that the runtime got at this time. Called when the request has been read.
    pub(crate) fn times(&self, event_at: Instant) -> ResponseTimes {
        ResponseTimes {
            latency: self.begun.duration_since(event_at),
            duration: self.begun.elapsed(),
        }
    }
}

/// Answers a call. A caller that no longer waits, such as a killed process, is no error.
pub(crate) fn answer(reply: Reply, answer: Answer) {
    drop(reply.send(answer));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownRequest,
    /// The response comes after the time limit of an invocation of a managed instance.
    InvocationTimedOut,
    WrongState,
    UnknownExtension,
    UnsupportedEvent,
    WrongExtensionState,
    TooManyExtensions,
    /// Extensions register before the runtime asks for its first event.
    RegistrationIsClosed,
    /// Extensions subscribe during init.
    SubscriptionIsClosed,
    /// A managed instance accepts one subscription of an extension.
    SecondSubscription,
}

pub(crate) fn refusal(refused: Refused) -> Answer {
    let (status, error_type, message) = match refused {
        Refused::UnknownRequest => {
            (400, "InvalidRequestID", "no invocation with this request id is running")
        }
        Refused::InvocationTimedOut => (410, "InvokeTimeout", "the invocation has timed out"),
        Refused::WrongState => {
            (403, "InvalidStateTransition", "the call is not allowed in this state")
        }
        Refused::UnsupportedEvent => (
            403,
            "Extension.InvalidEventType",
            "an extension registers for INVOKE, SHUTDOWN or nothing, an internal one not for SHUTDOWN",
        ),
        Refused::UnknownExtension => {
            (403, "Extension.UnknownExtensionIdentifier", "no such extension")
        }
        Refused::WrongExtensionState => (
            403,
            "Extension.InvalidExtensionState",
            "the call is not allowed in this state of the extension",
        ),
        Refused::TooManyExtensions => (
            403,
            "Extension.TooManyExtensions",
            "ten extensions are registered, which is the most there may be",
        ),
        Refused::RegistrationIsClosed => {
            (403, "Extension.RegistrationClosed", "the runtime has asked for its first event")
        }
        Refused::SubscriptionIsClosed => {
            (403, "Telemetry.SubscriptionClosed", "the init phase is over")
        }
        Refused::SecondSubscription => {
            (500, "InternalServerError", "the extension is subscribed already")
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    server::error(status, error_type, message)
}

/// One invocation, as the runtime gets it in the answer to `next`.
#[derive(Debug, Clone)]
pub(crate) struct InvocationEvent {
    pub(crate) request_id: String,
    pub(crate) deadline_ms: u64,
    pub(crate) function_arn: String,
    pub(crate) trace_header: String,
    pub(crate) client_context: Option<ClientContext>,
    pub(crate) payload: Bytes,
}

impl InvocationEvent {
    /// The event of an invocation that begins now.
    pub(crate) fn new(
        request: InvocationRequest,
        spec: &FunctionSpec,
        now: Timestamp,
        trace: &TraceContext,
    ) -> Self {
        Self {
            request_id: request.request_id,
            deadline_ms: now.after(spec.timeout).millis(),
            function_arn: spec.arn(),
            trace_header: trace.header.clone(),
            client_context: request.client_context,
            payload: request.payload,
        }
    }

    pub(crate) fn into_answer(self) -> Answer {
        let deadline_ms = self.deadline_ms.to_string();
        let headers = [
            ("Lambda-Runtime-Aws-Request-Id", self.request_id.as_str()),
            ("Lambda-Runtime-Deadline-Ms", &deadline_ms),
            ("Lambda-Runtime-Invoked-Function-Arn", &self.function_arn),
            ("Lambda-Runtime-Trace-Id", &self.trace_header),
        ];
        let answer = server::json(StatusCode::OK, self.payload);
        let client_context = self
            .client_context
            .as_ref()
            .map(|context| ("Lambda-Runtime-Client-Context", context.as_str()));
        headers
            .into_iter()
            .chain(client_context)
            .fold(answer, |answer, (name, value)| server::with(answer, name, value))
    }
}
