//! Reads the requests of an environment's processes: Runtime API 2018-06-01, Extensions API 2020-01-01, and the subscription to
//! the Telemetry API.

use super::calls::{CallKind, PostedResponse};
use super::server::{self, Answer, BodyError};
use crate::failure::ReportedFailure;
use crate::identifiers;
use crate::telemetry::SubscriptionSettings;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::Instant;

/// The largest response of a buffered invocation, in bytes (AWS Lambda quotas: 6 MB).
const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;
/// The largest streamed response that the local Lambda keeps, in bytes; AWS allows 200 MB.
const MAX_STREAMED_BYTES: usize = 20 * 1024 * 1024;
/// The largest body of an extension's request, in bytes (runtime interface emulator, `requestBodyLimitBytes`).
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Headers of extensions.
const IDENTIFIER: &str = "Lambda-Extension-Identifier";
const NAME: &str = "Lambda-Extension-Name";
const ERROR_TYPE: &str = "Lambda-Extension-Function-Error-Type";

/// Returns the call, or the answer to a request that makes none.
pub(super) async fn read(request: Request<Incoming>) -> Result<CallKind, Answer> {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let headers = CallHeaders { headers: &head.headers };
    let path = head.uri.path();
    match (head.method.as_str(), path) {
        ("GET", "/2018-06-01/runtime/invocation/next") => Ok(CallKind::Next),
        ("POST", "/2018-06-01/runtime/init/error") => {
            Ok(CallKind::InitError(failure(headers.error_type(), body).await?))
        }
        ("POST", "/2020-01-01/extension/register") => register(&headers, body).await,
        ("GET", "/2020-01-01/extension/event/next") => {
            Ok(CallKind::NextExtensionEvent { extension: headers.extension()? })
        }
        ("POST", "/2020-01-01/extension/init/error") => {
            extension_report(&headers, body, true).await
        }
        ("POST", "/2020-01-01/extension/exit/error") => {
            extension_report(&headers, body, false).await
        }
        ("PUT", "/2022-07-01/telemetry") => {
            let extension = headers.extension()?;
            let settings = SubscriptionSettings::parse(&small_body(body).await?);
            Ok(CallKind::Subscribe { extension, settings })
        }
        ("POST", _) => {
            let invocation = path.strip_prefix("/2018-06-01/runtime/invocation/");
            let Some((request_id, kind)) = invocation.and_then(|path| path.split_once('/')) else {
                return Err(server::not_found());
            };
            let Posted { result, accepted } = match kind {
                "response" => response(headers.is_streamed(), body).await?,
                "error" => {
                    let failure = failure(headers.error_type(), body).await?;
                    Posted { result: Err(failure), accepted: server::accepted() }
                }
                _ => return Err(server::not_found()),
            };
            let request_id = request_id.to_owned();
            Ok(CallKind::Response(PostedResponse { request_id, result, begun, accepted }))
        }
        _ => Err(server::not_found()),
    }
}

/// The headers of a call.
struct CallHeaders<'a> {
    headers: &'a HeaderMap,
}

impl CallHeaders<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the value of a header, unless it is empty.
    fn text(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// The error type that the runtime states.
    fn error_type(&self) -> Option<&str> {
        self.get("Lambda-Runtime-Function-Error-Type")
    }

    fn is_streamed(&self) -> bool {
        self.get("Lambda-Runtime-Function-Response-Mode") == Some("streaming")
    }

    /// The identifier of the extension that makes the call.
    fn extension(&self) -> Result<String, InvalidIdentifier> {
        match self.text(IDENTIFIER) {
            Some(identifier) if identifiers::is_uuid(&identifier) => Ok(identifier),
            Some(_) => Err(InvalidIdentifier::Malformed),
            None => Err(InvalidIdentifier::Missing),
        }
    }
}

/// The mistake in the identifier of an extension.
#[derive(Clone, Copy)]
enum InvalidIdentifier {
    Malformed,
    Missing,
}

impl From<InvalidIdentifier> for Answer {
    fn from(invalid: InvalidIdentifier) -> Self {
        let error_type = match invalid {
            InvalidIdentifier::Malformed => "Extension.InvalidExtensionIdentifier",
            InvalidIdentifier::Missing => "Extension.MissingExtensionIdentifier",
        };
        let message = format!("{IDENTIFIER} is missing or invalid");
        server::error(StatusCode::FORBIDDEN, error_type, &message)
    }
}

async fn register(headers: &CallHeaders<'_>, body: Incoming) -> Result<CallKind, Answer> {
    let name = headers.text(NAME).ok_or_else(|| missing(NAME, "Extension.InvalidExtensionName"))?;
    let features = headers.get("Lambda-Extension-Accept-Feature").unwrap_or_default();
    let wants_account_id =
        features.split(',').any(|feature| feature.trim().eq_ignore_ascii_case("accountId"));
    let Events { events } = serde_json::from_slice(&small_body(body).await?)
        .map_err(|_| invalid_request("the body is not {\"events\":[…]}"))?;
    Ok(CallKind::Register { name, events, wants_account_id })
}

async fn extension_report(
    headers: &CallHeaders<'_>,
    body: Incoming,
    during_init: bool,
) -> Result<CallKind, Answer> {
    let extension = headers.extension()?;
    let error_type =
        headers.text(ERROR_TYPE).ok_or_else(|| missing(ERROR_TYPE, "Extension.MissingHeader"))?;
    // The body is optional, and Lambda ignores it.
    small_body(body).await?;
    Ok(CallKind::ExtensionReport { extension, error_type, during_init })
}

/// The result of an invocation, as the runtime posts it.
struct Posted {
    result: Result<Bytes, ReportedFailure>,
    /// The answer if the invocation is running.
    accepted: Answer,
}

#[derive(Deserialize)]
struct Events {
    #[serde(default)]
    events: Vec<String>,
}

/// Reads a response. One that is too large is an error of the function.
async fn response(is_streamed: bool, body: Incoming) -> Result<Posted, Answer> {
    let limit = if is_streamed { MAX_STREAMED_BYTES } else { MAX_RESPONSE_BYTES };
    match server::read_body(body, limit).await {
        Ok(body) => Ok(Posted { result: Ok(body), accepted: server::accepted() }),
        Err(BodyError::BrokenOff) => Err(broken_off()),
        Err(BodyError::TooLarge) => {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({limit} bytes)."
            );
            let error_type = "Function.ResponseSizeTooLarge";
            let body = server::error_body(error_type, &message);
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            let failure = ReportedFailure::new(Some(error_type), body.into());
            let answer = server::error(status, "RequestEntityTooLarge", &message);
            Ok(Posted { result: Err(failure), accepted: answer })
        }
    }
}

async fn failure(error_type: Option<&str>, body: Incoming) -> Result<ReportedFailure, Answer> {
    match server::read_body(body, MAX_RESPONSE_BYTES).await {
        Ok(body) => Ok(ReportedFailure::new(error_type, body)),
        Err(BodyError::BrokenOff) => Err(broken_off()),
        Err(BodyError::TooLarge) => Err(server::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "the error is larger than 6 MB",
        )),
    }
}

async fn small_body(body: Incoming) -> Result<Bytes, Answer> {
    let body = server::read_body(body, MAX_BODY_BYTES).await;
    body.map_err(|_| invalid_request("the body cannot be read"))
}

fn missing(header: &str, error_type: &str) -> Answer {
    server::error(StatusCode::FORBIDDEN, error_type, &format!("{header} is missing"))
}

fn broken_off() -> Answer {
    server::error(StatusCode::BAD_REQUEST, "BadRequest", "the body broke off")
}

fn invalid_request(message: &str) -> Answer {
    server::error(StatusCode::FORBIDDEN, "InvalidRequestFormat", message)
}
