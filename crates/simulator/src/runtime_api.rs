//! The Runtime API 2018-06-01 of one environment: turns its HTTP requests into calls, and their replies into answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::extensions_api;
use crate::http::{self as server, Server, Unread};
use crate::telemetry::{InvalidSubscription, Settings};

/// The largest response of a buffered invocation, in bytes (AWS Lambda quotas: 6 MB).
pub(crate) const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

/// The largest streamed response that the simulator keeps, in bytes; AWS allows 200 MB.
const MAX_STREAMED_BYTES: usize = 20 * 1024 * 1024;

/// What a process asks of its environment.
#[derive(Debug)]
pub(crate) enum Call {
    Next(Reply<Event>),
    RestoreNext(Reply<()>),
    RestoreError {
        failure: Failure,
        reply: Reply<()>,
    },
    Response {
        request_id: String,
        result: Result<Bytes, Failure>,
        /// When its first byte was there.
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
        settings: Result<Settings, InvalidSubscription>,
        reply: Reply<Subscribed>,
    },
}

/// An extension's wish to take part.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) name: String,
    pub(crate) events: Vec<String>,
    pub(crate) wants_account_id: bool,
}

/// An extension's own report of a failure.
#[derive(Debug)]
pub(crate) struct ExtensionReport {
    /// Its identifier.
    pub(crate) extension: String,
    pub(crate) error_type: String,
    pub(crate) during_init: bool,
}

/// How a subscription to telemetry is answered.
#[derive(Debug)]
pub(crate) enum Subscribed {
    Yes,
    Invalid(InvalidSubscription),
    /// With a status that a test asked for.
    Scripted(u16),
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// The answer to a registration.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) identifier: String,
    pub(crate) body: String,
}

/// Why a call is refused.
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
    pub(crate) trace_header: Option<String>,
    pub(crate) payload: Bytes,
}

/// An error that the runtime reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The header's `Category.Reason`, else the body's `errorType`.
    pub(crate) error_type: String,
    /// What Lambda's own events say: the header's value if it has the form `Category.Reason`.
    pub(crate) platform_type: String,
    pub(crate) body: Bytes,
}

/// The API of the processes of one environment. Dropping it closes the port and all calls that still wait.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    server: Server,
    pub(crate) calls: mpsc::Receiver<Call>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> io::Result<Self> {
        let (sender, calls) = mpsc::channel(64);
        let sender = Arc::new(sender);
        let server = Server::start(move |request| route(request, Arc::clone(&sender))).await?;
        Ok(Self { server, calls })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

async fn route(
    request: Request<Incoming>,
    calls: Arc<mpsc::Sender<Call>>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if let Some(path) = path.strip_prefix("/2020-01-01/extension/") {
        return extensions_api::route(path, request, &calls).await;
    }
    if path == "/2022-07-01/telemetry" && request.method() == Method::PUT {
        return extensions_api::subscribe(request, &calls).await;
    }
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else { return not_found() };
    let segments: Vec<&str> = path.split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(&calls).await,
        (&Method::POST, ["invocation", request_id, "response"]) => {
            response(request_id, request, &calls).await
        }
        (&Method::POST, ["invocation", request_id, "error"]) => {
            let failure = match failure(request).await {
                Ok(failure) => failure,
                Err(answer) => return answer,
            };
            let (request_id, begun, result) =
                ((*request_id).to_owned(), Instant::now(), Err(failure));
            let call = |reply| Call::Response { request_id, result, begun, reply };
            accepted(ask(&calls, call).await)
        }
        (&Method::GET, ["restore", "next"]) => match ask(&calls, Call::RestoreNext).await {
            Ok(()) => server::json(StatusCode::OK, Bytes::new()),
            Err(answer) => answer,
        },
        (&Method::POST, ["restore", "error"]) => match failure(request).await {
            Ok(failure) => {
                accepted(ask(&calls, |reply| Call::RestoreError { failure, reply }).await)
            }
            Err(answer) => answer,
        },
        (&Method::POST, ["init", "error"]) => match failure(request).await {
            Ok(failure) => accepted(ask(&calls, |reply| Call::InitError { failure, reply }).await),
            Err(answer) => answer,
        },
        _ => not_found(),
    }
}

async fn next(calls: &mpsc::Sender<Call>) -> Response<Full<Bytes>> {
    let event = match ask(calls, Call::Next).await {
        Ok(event) => event,
        Err(answer) => return answer,
    };
    let mut builder = Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", event.request_id)
        .header("Lambda-Runtime-Deadline-Ms", event.deadline_ms)
        .header("Lambda-Runtime-Invoked-Function-Arn", event.function_arn);
    if let Some(trace) = event.trace_header {
        builder = builder.header("Lambda-Runtime-Trace-Id", trace);
    }
    builder.body(Full::new(event.payload)).unwrap_or_else(|_| {
        server::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "header refused")
    })
}

async fn response(
    request_id: &str,
    request: Request<Incoming>,
    calls: &mpsc::Sender<Call>,
) -> Response<Full<Bytes>> {
    let streaming =
        header(request.headers(), "Lambda-Runtime-Function-Response-Mode") == Some("streaming");
    let limit = if streaming { MAX_STREAMED_BYTES } else { MAX_RESPONSE_BYTES };
    let (request_id, begun) = (request_id.to_owned(), Instant::now());
    match server::read_body(request.into_body(), limit).await {
        Ok(body) => {
            let result = failure_in_trailers(&body.trailers).map_or(Ok(body.bytes), Err);
            accepted(ask(calls, |reply| Call::Response { request_id, result, begun, reply }).await)
        }
        Err(Unread::TooLarge) => {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({limit} bytes)."
            );
            let error_type = "Function.ResponseSizeTooLarge";
            let body =
                serde_json::json!({ "errorMessage": message, "errorType": error_type }).to_string();
            let result = Err(Failure::new(Some(error_type), body.into()));
            match ask(calls, |reply| Call::Response { request_id, result, begun, reply }).await {
                Ok(()) => {
                    server::error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
                }
                Err(answer) => answer,
            }
        }
        Err(Unread::BrokenOff) => {
            server::error(StatusCode::BAD_REQUEST, "BadRequest", "the body broke off")
        }
    }
}

/// An error in the middle of a streamed response comes in trailers (AWS Lambda "Building a custom runtime").
fn failure_in_trailers(trailers: &HeaderMap) -> Option<Failure> {
    let error_type = header(trailers, "Lambda-Runtime-Function-Error-Type")?;
    let body = header(trailers, "Lambda-Runtime-Function-Error-Body").unwrap_or_default();
    let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default();
    Some(Failure::new(Some(error_type), body.into()))
}

async fn failure(request: Request<Incoming>) -> Result<Failure, Response<Full<Bytes>>> {
    let error_type =
        header(request.headers(), "Lambda-Runtime-Function-Error-Type").map(str::to_owned);
    match server::read_body(request.into_body(), MAX_RESPONSE_BYTES).await {
        Ok(body) => Ok(Failure::new(error_type.as_deref(), body.bytes)),
        Err(Unread::TooLarge) => Err(server::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "the error is larger than 6 MB",
        )),
        Err(Unread::BrokenOff) => {
            Err(server::error(StatusCode::BAD_REQUEST, "BadRequest", "the body broke off"))
        }
    }
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
        Err(refused) => Err(refused.answer()),
    }
}

impl Refused {
    fn answer(self) -> Response<Full<Bytes>> {
        match self {
            Self::UnknownRequest => server::error(
                StatusCode::BAD_REQUEST,
                "InvalidRequestID",
                "no invocation with this request id is running",
            ),
            Self::WrongState => server::error(
                StatusCode::FORBIDDEN,
                "InvalidStateTransition",
                "the call is not allowed in this state",
            ),
            Self::UnknownExtension => server::error(
                StatusCode::FORBIDDEN,
                "Extension.UnknownExtensionIdentifier",
                "no such extension",
            ),
            Self::UnsupportedEvent => server::error(
                StatusCode::BAD_REQUEST,
                "Extension.InvalidEventType",
                "an extension registers for INVOKE, SHUTDOWN or nothing, an internal one not for SHUTDOWN",
            ),
            Self::WrongExtensionState => server::error(
                StatusCode::FORBIDDEN,
                "Extension.InvalidExtensionState",
                "the call is not allowed in this state of the extension",
            ),
            Self::TooManyExtensions => server::error(
                StatusCode::FORBIDDEN,
                "Extension.TooManyExtensions",
                "ten extensions are registered, which is the most there may be",
            ),
            Self::InitIsOver => server::error(
                StatusCode::FORBIDDEN,
                "Extension.RegistrationClosed",
                "the init phase is over",
            ),
        }
    }
}

pub(crate) fn accepted(reply: Result<(), Response<Full<Bytes>>>) -> Response<Full<Bytes>> {
    match reply {
        Ok(()) => server::json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#),
        Err(answer) => answer,
    }
}

pub(crate) fn not_found() -> Response<Full<Bytes>> {
    server::error(StatusCode::NOT_FOUND, "NotFound", "no such path")
}

/// A caller that no longer waits has lost its answer; that is its own affair.
pub(crate) fn answer<T>(reply: Reply<T>, answer: Result<T, Refused>) {
    drop(reply.send(answer));
}
