//! The HTTP APIs that Lambda gives to the processes of an environment: Runtime API, Extensions API, Telemetry API.

mod extensions;
pub(crate) mod runtime;
pub(crate) mod server;

use crate::telemetry::Settings;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) enum Call {
    Next(Reply<Event>),
    Response {
        request_id: String,
        result: Result<Bytes, Failure>,
        begun: Instant,
        reply: Reply<()>,
    },
    InitError {
        failure: Failure,
        reply: Reply<()>,
    },
    Register {
        registration: Registration,
        reply: Reply<Registered>,
    },
    NextExtensionEvent {
        extension: String,
        reply: Reply<String>,
    },
    ExtensionReport {
        report: ExtensionReport,
        reply: Reply<()>,
    },
    Subscribe {
        extension: String,
        /// The settings, or why Lambda rejects them.
        settings: Result<Settings, String>,
        reply: Reply<Subscribed>,
    },
}

#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) name: String,
    pub(crate) events: Vec<String>,
    pub(crate) wants_account_id: bool,
}

#[derive(Debug)]
pub(crate) struct ExtensionReport {
    pub(crate) extension: String,
    pub(crate) error_type: String,
    pub(crate) during_init: bool,
}

#[derive(Debug)]
pub(crate) enum Subscribed {
    Yes,
    Already,
    Invalid(String),
    /// With a status that a test asked for.
    Scripted(u16),
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refused>>;

#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) identifier: String,
    pub(crate) body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownRequest,
    WrongState,
    UnknownExtension,
    UnsupportedEvent,
    WrongExtensionState,
    TooManyExtensions,
    /// Registrations and subscriptions belong into init.
    InitIsOver,
}

/// One invocation as `next` gives it out.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) request_id: String,
    pub(crate) deadline_ms: u64,
    pub(crate) function_arn: String,
    pub(crate) trace_header: String,
    pub(crate) payload: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The header's `Category.Reason`, else the body's `errorType`.
    pub(crate) error_type: String,
    /// The error type in Lambda's own events: the header's value if it has the form `Category.Reason`.
    pub(crate) platform_type: String,
    pub(crate) body: Bytes,
}

impl Failure {
    pub(crate) fn new(header: Option<&str>, body: Bytes) -> Self {
        let categorised = header.filter(|error_type| {
            error_type.split_once('.').is_some_and(|(category, reason)| {
                matches!(category, "Runtime" | "Function" | "Extension" | "Sandbox")
                    && !reason.is_empty()
            })
        });
        let platform_type = categorised.unwrap_or("Function.Unknown").to_owned();
        let error_type = categorised
            .map(str::to_owned)
            .or_else(|| error_type_of(&body))
            .or(header.map(str::to_owned));
        Self {
            error_type: error_type.unwrap_or_else(|| platform_type.clone()),
            platform_type,
            body,
        }
    }
}

fn error_type_of(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.get("errorType")?.as_str().map(str::to_owned)
}

/// Sends the reply to a call. A caller that no longer waits for it, such as a killed process, is no error.
pub(crate) fn answer<T>(reply: Reply<T>, answer: Result<T, Refused>) {
    drop(reply.send(answer));
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Makes a call and waits for the reply, for ever if need be: the caller may be frozen meanwhile.
pub(crate) async fn ask<T>(
    calls: &mpsc::Sender<Call>,
    call: impl FnOnce(Reply<T>) -> Call,
) -> Result<T, Response<Full<Bytes>>> {
    let (reply, answer) = oneshot::channel();
    // When the environment is gone the runtime is told to exit (AWS Lambda "runtime API": 500, non-recoverable).
    let gone = || {
        server::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "the environment has ended",
        )
    };
    calls.send(call(reply)).await.map_err(|_| gone())?;
    match answer.await.map_err(|_| gone())? {
        Ok(value) => Ok(value),
        Err(refused) => Err(refusal(refused)),
    }
}

fn refusal(refused: Refused) -> Response<Full<Bytes>> {
    let of_extension = |error_type, message| (StatusCode::FORBIDDEN, error_type, message);
    let (status, error_type, message) = match refused {
        Refused::UnknownRequest => (
            StatusCode::BAD_REQUEST,
            "InvalidRequestID",
            "no invocation with this request id is running",
        ),
        Refused::WrongState => (
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "the call is not allowed in this state",
        ),
        Refused::UnsupportedEvent => (
            StatusCode::BAD_REQUEST,
            "Extension.InvalidEventType",
            "an extension registers for INVOKE, SHUTDOWN or nothing, an internal one not for SHUTDOWN",
        ),
        Refused::UnknownExtension => {
            of_extension("Extension.UnknownExtensionIdentifier", "no such extension")
        }
        Refused::WrongExtensionState => of_extension(
            "Extension.InvalidExtensionState",
            "the call is not allowed in this state of the extension",
        ),
        Refused::TooManyExtensions => of_extension(
            "Extension.TooManyExtensions",
            "ten extensions are registered, which is the most there may be",
        ),
        Refused::InitIsOver => {
            of_extension("Extension.RegistrationClosed", "the init phase is over")
        }
    };
    server::error(status, error_type, message)
}

/// The response to a request, or the response that refuses it.
pub(crate) type RouteResult = Result<Response<Full<Bytes>>, Response<Full<Bytes>>>;

pub(crate) fn accepted((): ()) -> Response<Full<Bytes>> {
    server::json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

pub(crate) fn not_found() -> Response<Full<Bytes>> {
    server::error(StatusCode::NOT_FOUND, "NotFound", "no such path")
}
