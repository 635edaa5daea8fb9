//! The Invoke API over HTTP: `POST /2015-03-31/functions/NAME/invocations`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{MAX_PAYLOAD_BYTES, Service};
use crate::api::response::{header, not_found};
use crate::api::server::{self, Unread};
use crate::error::Error;
use crate::invocation::InvocationResult;

pub(crate) async fn route(
    request: Request<Incoming>,
    service: Arc<Service>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let function = path
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|path| path.strip_suffix("/invocations"));
    match (request.method(), function) {
        (&Method::POST, Some(function)) => {
            invoke(function, request, &service).await.unwrap_or_else(|error| refuse(&error))
        }
        _ => not_found(),
    }
}

async fn invoke(
    function: &str,
    request: Request<Incoming>,
    service: &Arc<Service>,
) -> Result<Response<Full<Bytes>>, Error> {
    let spec = Arc::clone(&service.function(function)?.spec);
    let asynchronous = header(request.headers(), "X-Amz-Invocation-Type") == Some("Event");
    let payload = match server::read_body(request.into_body(), MAX_PAYLOAD_BYTES).await {
        Ok(body) => body.bytes,
        Err(Unread::TooLarge) => {
            return Err(Error::PayloadTooLarge {
                bytes: MAX_PAYLOAD_BYTES + 1,
                limit_bytes: MAX_PAYLOAD_BYTES,
            });
        }
        Err(Unread::BrokenOff) => Bytes::new(),
    };
    // An invocation without a payload gets an empty object.
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    let (mut answer, request_id) = if asynchronous {
        let request_id = service.invoke_async(function, payload)?;
        (server::json(StatusCode::ACCEPTED, Bytes::new()), request_id)
    } else {
        let mut running = service.invoke(function, payload)?;
        let result = running.result().await?;
        let body = result.body(&spec, running.request_id());
        let mut answer = server::json(StatusCode::OK, body);
        if !matches!(result, InvocationResult::Response(_)) {
            answer
                .headers_mut()
                .insert("X-Amz-Function-Error", HeaderValue::from_static("Unhandled"));
        }
        if let Ok(version) = HeaderValue::from_str(spec.version_name()) {
            answer.headers_mut().insert("X-Amz-Executed-Version", version);
        }
        (answer, running.request_id)
    };
    if let Ok(request_id) = HeaderValue::from_str(&request_id) {
        answer.headers_mut().insert("x-amzn-RequestId", request_id);
    }
    Ok(answer)
}

fn refuse(error: &Error) -> Response<Full<Bytes>> {
    let (status, error_type) = match error {
        Error::UnknownFunction(_) => (StatusCode::NOT_FOUND, "ResourceNotFoundException"),
        Error::PayloadTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException")
        }
        Error::PayloadNotJson(_) => (StatusCode::BAD_REQUEST, "InvalidRequestContentException"),
        Error::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "ServiceException"),
    };
    server::error(status, error_type, &error.to_string())
}
