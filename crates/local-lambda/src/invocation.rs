//! One invocation, running or finished.

use std::process::ExitStatus;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Error;
use crate::api::server;
use crate::failure::ReportedFailure;
use crate::function::FunctionSpec;
use crate::platform_events::text;

#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Invocation {
    pub request_id: String,
    pub result: InvocationResult,
    /// The time until the runtime and its extensions were ready for the next event, as in REPORT.
    pub duration: Duration,
    /// The part of it in which only extensions worked: CloudWatch's
    /// `PostRuntimeExecutionDuration`, and the `extensionOverhead` of `platform.report`.
    pub post_runtime: Duration,
    /// The duration of the init phase, on the first invocation of an environment.
    pub init_duration: Option<Duration>,
    /// `true` if a process was started for this invocation, in an init phase or suppressed.
    pub cold: bool,
    /// The process that took the event; `None` if none could be started.
    pub pid: Option<u32>,
}

/// The request for one invocation.
#[derive(Debug, Clone)]
pub(crate) struct InvocationRequest {
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    pub(crate) client_context: Option<ClientContext>,
}

/// The client context of an invocation: a JSON object (AWS Lambda API reference, "Invoke").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientContext {
    /// One line, as a header needs it.
    json: String,
}

impl ClientContext {
    /// The header of the Invoke API.
    pub const HEADER: &str = "x-amz-client-context";

    /// Checks that the text is a JSON object.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(json).map_err(Error::ClientContextNotJson)?;
        Ok(Self { json: serde_json::Value::Object(object).to_string() })
    }

    /// Decodes the value of the header.
    pub fn decode(header: &[u8]) -> Result<Self, Error> {
        let json = base64::engine::general_purpose::STANDARD.decode(header);
        Self::parse(&json.map_err(|_| Error::ClientContextNotBase64)?)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.json
    }
}

#[derive(Debug)]
pub struct RunningInvocation {
    pub(crate) request_id: String,
    pub(crate) result: oneshot::Receiver<InvocationResult>,
    pub(crate) running: JoinHandle<Result<Invocation, Error>>,
}

impl RunningInvocation {
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Waits for the caller's result: it is ready as soon as the runtime posted it, even if extensions still work.
    pub async fn result(&mut self) -> Result<InvocationResult, Error> {
        (&mut self.result).await.map_err(|_| Error::ShuttingDown)
    }

    /// Waits until the invocation is over and its log is written.
    pub async fn finished(self) -> Result<Invocation, Error> {
        self.running.await.unwrap_or(Err(Error::ShuttingDown))
    }
}

/// The caller of an invocation, until it has the result.
#[derive(Debug)]
pub(crate) struct WaitingCaller {
    waiting: Option<oneshot::Sender<InvocationResult>>,
}

impl WaitingCaller {
    pub(crate) fn new() -> (Self, oneshot::Receiver<InvocationResult>) {
        let (sender, receiver) = oneshot::channel();
        (Self { waiting: Some(sender) }, receiver)
    }

    /// Sends the caller the result. Only the first one counts.
    pub(crate) fn respond(&mut self, result: &InvocationResult) {
        if let Some(sender) = self.waiting.take() {
            // A caller that gave up is no error.
            drop(sender.send(result.clone()));
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvocationResult {
    Response(Bytes),
    /// The handler, or the init phase, reported an error.
    FunctionError {
        error_type: String,
        body: Bytes,
    },
    /// The function's timeout passed and its process was killed.
    Timeout,
    /// The process ended before it answered; without a status if it could not be started.
    Crash {
        status: Option<ExitStatus>,
    },
}

impl From<ReportedFailure> for InvocationResult {
    fn from(ReportedFailure { error_type, body, .. }: ReportedFailure) -> Self {
        Self::FunctionError { error_type, body }
    }
}

impl From<Result<Bytes, ReportedFailure>> for InvocationResult {
    fn from(answer: Result<Bytes, ReportedFailure>) -> Self {
        answer.map_or_else(Self::from, Self::Response)
    }
}

impl Invocation {
    /// Returns `true` if Lambda counts the invocation as successful.
    pub fn is_success(&self) -> bool {
        matches!(self.result, InvocationResult::Response(_))
    }

    /// The response, if there was one.
    pub fn response(&self) -> Option<&[u8]> {
        match &self.result {
            InvocationResult::Response(body) => Some(body),
            _ => None,
        }
    }
}

impl InvocationResult {
    /// Returns the body for the caller, also if the function gave none.
    pub(crate) fn body(&self, spec: &FunctionSpec, request_id: &str) -> Bytes {
        let (error_type, message) = match self {
            Self::Response(body) | Self::FunctionError { body, .. } => return body.clone(),
            Self::Timeout => ("Sandbox.Timedout", text::timed_out(spec.timeout)),
            Self::Crash { status } => (
                "Runtime.ExitError",
                text::exited(&status.map(text::exit_words).unwrap_or_default()),
            ),
        };
        let message = format!("RequestId: {request_id} Error: {message}");
        server::error_body(error_type, &message).into()
    }
}
