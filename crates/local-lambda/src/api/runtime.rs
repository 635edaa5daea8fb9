//! The Runtime API 2018-06-01 of one environment: turns its HTTP requests into calls, and their replies into answers.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::extensions;
use super::server::{self, Unread};
use super::{Call, Failure};
use super::{RouteResult, accepted, ask, header, not_found};
use crate::http_server::HttpServer;
use crate::lock;

/// The largest response of a buffered invocation, in bytes (AWS Lambda quotas: 6 MB).
pub(crate) const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

/// The largest streamed response that the local Lambda keeps, in bytes; AWS allows 200 MB.
const MAX_STREAMED_BYTES: usize = 20 * 1024 * 1024;

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
            let sender = lock(&of_server).clone();
            async move { route(request, &sender).await }
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

async fn route(request: Request<Incoming>, calls: &mpsc::Sender<Call>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if let Some(path) = path.strip_prefix("/2020-01-01/extension/") {
        return extensions::route(path, request, calls).await;
    }
    if path == "/2022-07-01/telemetry" && request.method() == Method::PUT {
        return extensions::subscribe(request, calls).await;
    }
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else {
        return not_found();
    };
    of_runtime(path, request, calls).await.unwrap_or_else(|refused| refused)
}

async fn of_runtime(
    path: &str,
    request: Request<Incoming>,
    calls: &mpsc::Sender<Call>,
) -> RouteResult {
    let segments: Vec<&str> = path.split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(calls).await,
        (&Method::POST, ["invocation", request_id, "response"]) => {
            response(request_id, request, calls).await
        }
        (&Method::POST, ["invocation", request_id, "error"]) => {
            let result = Err(failure(request).await?);
            let (request_id, begun) = ((*request_id).to_owned(), Instant::now());
            let call = |reply| Call::Response { request_id, result, begun, reply };
            ask(calls, call).await.map(accepted)
        }
        (&Method::POST, ["init", "error"]) => {
            let failure = failure(request).await?;
            ask(calls, |reply| Call::InitError { failure, reply }).await.map(accepted)
        }
        _ => Ok(not_found()),
    }
}

async fn next(calls: &mpsc::Sender<Call>) -> RouteResult {
    let event = ask(calls, Call::Next).await?;
    let builder = Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", event.request_id)
        .header("Lambda-Runtime-Deadline-Ms", event.deadline_ms)
        .header("Lambda-Runtime-Invoked-Function-Arn", event.function_arn)
        .header("Lambda-Runtime-Trace-Id", event.trace_header);
    builder.body(Full::new(event.payload)).map_err(|_| {
        server::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "header refused")
    })
}

async fn response(
    request_id: &str,
    request: Request<Incoming>,
    calls: &mpsc::Sender<Call>,
) -> RouteResult {
    let streaming =
        header(request.headers(), "Lambda-Runtime-Function-Response-Mode") == Some("streaming");
    let limit = if streaming { MAX_STREAMED_BYTES } else { MAX_RESPONSE_BYTES };
    let (request_id, begun) = (request_id.to_owned(), Instant::now());
    match server::read_body(request.into_body(), limit).await {
        Ok(body) => {
            let call = |reply| Call::Response { request_id, result: Ok(body), begun, reply };
            ask(calls, call).await.map(accepted)
        }
        Err(Unread::TooLarge) => {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({limit} bytes)."
            );
            let error_type = "Function.ResponseSizeTooLarge";
            let body =
                serde_json::json!({ "errorMessage": message, "errorType": error_type }).to_string();
            let result = Err(Failure::new(Some(error_type), body.into()));
            ask(calls, |reply| Call::Response { request_id, result, begun, reply }).await?;
            Ok(server::error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message))
        }
        Err(Unread::BrokenOff) => Err(broken_off()),
    }
}

fn broken_off() -> Response<Full<Bytes>> {
    server::error(StatusCode::BAD_REQUEST, "BadRequest", "the body broke off")
}

async fn failure(request: Request<Incoming>) -> Result<Failure, Response<Full<Bytes>>> {
    let error_type =
        header(request.headers(), "Lambda-Runtime-Function-Error-Type").map(str::to_owned);
    match server::read_body(request.into_body(), MAX_RESPONSE_BYTES).await {
        Ok(body) => Ok(Failure::new(error_type.as_deref(), body)),
        Err(Unread::TooLarge) => Err(server::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "the error is larger than 6 MB",
        )),
        Err(Unread::BrokenOff) => Err(broken_off()),
    }
}
