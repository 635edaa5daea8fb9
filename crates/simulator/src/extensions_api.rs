//! As much of the Extensions API 2020-01-01 as an internal extension needs: register and wait for events.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::http::{self as server, Unread};
use crate::runtime_api::{Call, ask, header, not_found};

const MAX_REGISTRATION_BYTES: usize = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
struct Registration {
    #[serde(default)]
    events: Vec<String>,
}

pub(crate) async fn route(
    path: &str,
    request: Request<Incoming>,
    calls: &mpsc::Sender<Call>,
) -> Response<Full<Bytes>> {
    match (request.method(), path) {
        (&Method::POST, "register") => register(request, calls).await,
        (&Method::GET, "event/next") => next(request, calls).await,
        _ => not_found(),
    }
}

async fn register(request: Request<Incoming>, calls: &mpsc::Sender<Call>) -> Response<Full<Bytes>> {
    let Some(name) = header(request.headers(), "Lambda-Extension-Name").map(str::to_owned) else {
        return server::error(
            StatusCode::FORBIDDEN,
            "Extension.InvalidExtensionName",
            "Lambda-Extension-Name is missing",
        );
    };
    let body = match server::read_body(request.into_body(), MAX_REGISTRATION_BYTES).await {
        Ok(body) => body.bytes,
        Err(Unread::TooLarge | Unread::BrokenOff) => {
            return server::error(
                StatusCode::BAD_REQUEST,
                "InvalidRequestFormat",
                "the body cannot be read",
            );
        }
    };
    let Ok(Registration { events }) = serde_json::from_slice(&body) else {
        return server::error(
            StatusCode::BAD_REQUEST,
            "InvalidRequestFormat",
            "the body is not {\"events\":[…]}",
        );
    };
    match ask(calls, |reply| Call::Register { name, events, reply }).await {
        Ok(registered) => {
            let mut answer = server::json(StatusCode::OK, registered.body);
            if let Ok(identifier) = registered.identifier.parse() {
                answer.headers_mut().insert("Lambda-Extension-Identifier", identifier);
            }
            answer
        }
        Err(answer) => answer,
    }
}

async fn next(request: Request<Incoming>, calls: &mpsc::Sender<Call>) -> Response<Full<Bytes>> {
    let Some(extension) =
        header(request.headers(), "Lambda-Extension-Identifier").map(str::to_owned)
    else {
        return server::error(
            StatusCode::FORBIDDEN,
            "Extension.MissingExtensionIdentifier",
            "Lambda-Extension-Identifier is missing",
        );
    };
    match ask(calls, |reply| Call::NextExtensionEvent { extension, reply }).await {
        Ok(event) => server::json(StatusCode::OK, event),
        Err(answer) => answer,
    }
}
