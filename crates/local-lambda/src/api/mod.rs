//! The HTTP APIs that Lambda gives to the processes of an environment: Runtime API, Extensions API, Telemetry API.

mod requests;
pub(crate) mod server;

use crate::clock::Timestamp;
use crate::function::FunctionSpec;
use crate::http_server::HttpServer;
use crate::identifiers::Trace;
use crate::invocation::{ClientContext, Request};
use crate::lock;
use crate::telemetry::Settings;
use bytes::Bytes;
use http::StatusCode;
use server::Answer;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The API of one environment, at the same port for all of its processes.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    server: HttpServer,
    current: Arc<Mutex<mpsc::Sender<Call>>>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> io::Result<Self> {
        let (sender, _) = mpsc::channel(1);
        let current = Arc::new(Mutex::new(sender));
        let of_server = Arc::clone(&current);
        let server = HttpServer::start(move |request| {
            let calls = lock(&of_server).clone();
            async move {
                match requests::read(request).await {
                    Ok(asked) => ask(&calls, asked).await,
                    Err(refused) => refused,
                }
            }
        });
        Ok(Self { server: server.await?, current })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The calls of new processes. Dropping them ends all calls that still wait.
    pub(crate) fn calls(&self) -> mpsc::Receiver<Call> {
        let (sender, calls) = mpsc::channel(64);
        *lock(&self.current) = sender;
        calls
    }
}

/// Makes a call and waits for the answer, for ever if need be: the caller may be frozen meanwhile.
async fn ask(calls: &mpsc::Sender<Call>, asked: Asked) -> Answer {
    let (reply, answer) = oneshot::channel();
    // A call that cannot be sent is not answered.
    drop(calls.send(Call { asked, reply }).await);
    // When the environment is gone the runtime is told to exit (AWS Lambda "runtime API": 500, non-recoverable).
    answer.await.unwrap_or_else(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        server::error(status, "InternalServerError", "the environment has ended")
    })
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) reply: Reply,
}

pub(crate) type Reply = oneshot::Sender<Answer>;

#[derive(Debug)]
pub(crate) enum Asked {
    Next,
    Response {
        request_id: String,
        result: Result<Bytes, Failure>,
        begun: Instant,
        /// The answer if the request id is the current one.
        accepted: Answer,
    },
    InitError(Failure),
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
        settings: Result<Settings, String>,
    },
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

/// One invocation as `next` gives it out.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) request_id: String,
    pub(crate) deadline_ms: u64,
    pub(crate) function_arn: String,
    pub(crate) trace_header: String,
    pub(crate) client_context: Option<ClientContext>,
    pub(crate) payload: Bytes,
}

impl Event {
    /// The event of an invocation that begins now.
    pub(crate) fn new(
        request: Request,
        spec: &FunctionSpec,
        now: Timestamp,
        trace: &Trace,
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
        let client_context = self.client_context.as_ref();
        let client_context =
            client_context.map(|context| ("Lambda-Runtime-Client-Context", context.as_str()));
        let headers = headers.into_iter().chain(client_context);
        headers.fold(answer, |answer, (name, value)| server::with(answer, name, value))
    }
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
