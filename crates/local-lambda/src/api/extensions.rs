//! The Extensions API 2020-01-01 and the Telemetry API's subscription: turns requests into calls, and replies into answers.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::server;
use super::{Call, ExtensionReport, Registration, Subscribed};
use super::{RouteResult, accepted, ask, header, not_found};
use crate::identifiers;
use crate::telemetry::Settings;

const MAX_BODY_BYTES: usize = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
struct Events {
    #[serde(default)]
    events: Vec<String>,
}

pub(crate) async fn route(
    path: &str,
    request: Request<Incoming>,
    calls: &mpsc::Sender<Call>,
) -> Response<Full<Bytes>> {
    let answer = match (request.method(), path) {
        (&Method::POST, "register") => register(request, calls).await,
        (&Method::GET, "event/next") => next(request, calls).await,
        (&Method::POST, "init/error") => report(request, true, calls).await,
        (&Method::POST, "exit/error") => report(request, false, calls).await,
        _ => return not_found(),
    };
    answer.unwrap_or_else(|refused| refused)
}

async fn register(request: Request<Incoming>, calls: &mpsc::Sender<Call>) -> RouteResult {
    let name = header(request.headers(), "Lambda-Extension-Name").filter(|name| !name.is_empty());
    let name = name.map(str::to_owned).ok_or_else(|| {
        server::error(
            StatusCode::FORBIDDEN,
            "Extension.InvalidExtensionName",
            "Lambda-Extension-Name is missing",
        )
    })?;
    let features = header(request.headers(), "Lambda-Extension-Accept-Feature").unwrap_or_default();
    let wants_account_id =
        features.split(',').any(|feature| feature.trim().eq_ignore_ascii_case("accountId"));
    let body = body(request).await?;
    let Events { events } = serde_json::from_slice(&body)
        .map_err(|_| invalid_request("the body is not {\"events\":[…]}"))?;
    let registration = Registration { name, events, wants_account_id };
    let registered = ask(calls, |reply| Call::Register { registration, reply }).await?;
    let mut answer = server::json(StatusCode::OK, registered.body);
    if let Ok(identifier) = registered.identifier.parse() {
        answer.headers_mut().insert("Lambda-Extension-Identifier", identifier);
    }
    Ok(answer)
}

async fn next(request: Request<Incoming>, calls: &mpsc::Sender<Call>) -> RouteResult {
    let extension = identifier(request.headers()).ok_or_else(no_identifier)?;
    let event = ask(calls, |reply| Call::NextExtensionEvent { extension, reply }).await?;
    let mut answer = server::json(StatusCode::OK, event);
    if let Ok(identifier) = identifiers::uuid().parse() {
        answer.headers_mut().insert("Lambda-Extension-Event-Identifier", identifier);
    }
    Ok(answer)
}

async fn report(
    request: Request<Incoming>,
    during_init: bool,
    calls: &mpsc::Sender<Call>,
) -> RouteResult {
    let extension = identifier(request.headers()).ok_or_else(no_identifier)?;
    let error_type = header(request.headers(), "Lambda-Extension-Function-Error-Type");
    let error_type = error_type.map(str::to_owned).ok_or_else(|| {
        server::error(
            StatusCode::FORBIDDEN,
            "Extension.MissingHeader",
            "Lambda-Extension-Function-Error-Type is missing",
        )
    })?;
    // The body is optional and tells Lambda nothing.
    body(request).await?;
    let report = ExtensionReport { extension, error_type, during_init };
    ask(calls, |reply| Call::ExtensionReport { report, reply }).await.map(accepted)
}

/// `PUT /2022-07-01/telemetry`
pub(crate) async fn subscribe(
    request: Request<Incoming>,
    calls: &mpsc::Sender<Call>,
) -> Response<Full<Bytes>> {
    let subscribe = async {
        let extension = identifier(request.headers()).ok_or_else(no_identifier)?;
        let body = body(request).await?;
        let settings = Settings::parse(&body);
        ask(calls, |reply| Call::Subscribe { extension, settings, reply }).await
    };
    match subscribe.await {
        Ok(Subscribed::Yes) => server::json(StatusCode::OK, r#""OK""#),
        Ok(Subscribed::Already) => server::json(StatusCode::OK, r#""Already subscribed""#),
        Ok(Subscribed::Invalid(error)) => {
            server::error(StatusCode::BAD_REQUEST, "ValidationError", &error)
        }
        Ok(Subscribed::Scripted(202)) => server::error(
            StatusCode::ACCEPTED,
            "Telemetry.NotSupported",
            "Telemetry API is not supported",
        ),
        Ok(Subscribed::Scripted(404)) => not_found(),
        Ok(Subscribed::Scripted(status)) => server::error(
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "Telemetry.Scripted",
            "as the test told",
        ),
        Err(refused) => refused,
    }
}

fn identifier(headers: &HeaderMap) -> Option<String> {
    header(headers, "Lambda-Extension-Identifier").map(str::to_owned)
}

fn no_identifier() -> Response<Full<Bytes>> {
    server::error(
        StatusCode::FORBIDDEN,
        "Extension.MissingExtensionIdentifier",
        "Lambda-Extension-Identifier is missing",
    )
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Response<Full<Bytes>>> {
    let body = server::read_body(request.into_body(), MAX_BODY_BYTES).await;
    body.map_err(|_| invalid_request("the body cannot be read"))
}

fn invalid_request(message: &str) -> Response<Full<Bytes>> {
    server::error(StatusCode::BAD_REQUEST, "InvalidRequestFormat", message)
}
