//! The meaning of a response for the request.
//!
//! Sources: OTLP 1.x "OTLP/HTTP Response"; OpenObserve 0.60.5 and 0.92.2 as measured.

mod export_response;
mod reason;

use crate::destination::Profile;
use crate::http::{GRPC_STATUS_TEXT, HttpResponse, NotOtlp};
use crate::mask::Mask;
use bytes::Bytes;
use export_response::ExportResponse;
use http::header::{self, HeaderName};
pub use reason::Reason;
use reason::{is_temporary, names_an_unknown_path};
use std::time::Duration;
use wire::SignalKind;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// OpenObserve's answer after a failed write of logs: a `partial_success` without a count or a text. Every other
/// `partial_success` without rejected items is a warning.
const NOTHING_WRITTEN: &[u8] = &[0x0a, 0x00];

/// Judges the response to a request with `items` items. Masks the texts.
pub(crate) fn judge(
    profile: Profile,
    kind: SignalKind,
    items: usize,
    response: &HttpResponse,
    mask: &Mask,
) -> Result<Acceptance, Failure> {
    let body = match response.inflated_body() {
        Ok(body) => body,
        Err(content) if response.is_success() => {
            return Err(no_otlp_answer(response.status, content));
        }
        Err(_) => Bytes::new(),
    };
    let text = excerpt(status_message(response, &body), mask);
    let failure = |next, hint| {
        let reason = Reason::Status { status: response.status, text: text.clone(), hint };
        Failure { reason, ambiguous: false, is_crash: false, next }
    };
    let retry = || failure(Next::Retry { after: response.retry_after() }, "");
    Err(match response.status {
        200..=299 => return judge_success(profile, kind, items, response, &body, mask),
        300..=399 => {
            failure(Next::Alarm, "redirects are not followed, give the final URL as the endpoint")
        }
        401 | 403 => failure(Next::Alarm, credentials_hint(profile)),
        404 => failure(Next::Alarm, not_found_hint(profile, kind)),
        // By gRPC, the backend lacks the service, and there is no path.
        405 if !text.starts_with(GRPC_STATUS_TEXT) => {
            failure(Next::Alarm, not_found_hint(profile, kind))
        }
        413 => failure(Next::HalveTooLarge, ""),
        // A gateway that timed out, or a server that failed midway, may have stored some items.
        status @ (500 | 502 | 504) => {
            let is_crash = status != 504 && !is_own_answer(response, &body);
            Failure { ambiguous: true, is_crash, ..retry() }
        }
        408 | 425 | 429 | 500..=599 => retry(),
        400 if is_temporary(&text) => retry(),
        400 if wants_tls(&body) => {
            failure(Next::Alarm, "this port wants TLS, begin the endpoint with https://")
        }
        400 if names_an_unknown_path(&text) => failure(Next::Alarm, not_found_hint(profile, kind)),
        400 | 422 if is_page(response, &body) => Failure {
            ambiguous: false,
            ..no_otlp_answer(response.status, NotOtlp("a page, as proxies answer"))
        },
        400 | 422 => failure(Next::HalveRefused, ""),
        // 415 and other statuses never blame a record, so none is dead-lettered.
        _ => failure(Next::Alarm, ""),
    })
}

fn judge_success(
    profile: Profile,
    kind: SignalKind,
    items: usize,
    response: &HttpResponse,
    body: &[u8],
    mask: &Mask,
) -> Result<Acceptance, Failure> {
    let no_otlp_answer = |content| Err(no_otlp_answer(response.status, content));
    if response.cut {
        return no_otlp_answer(NotOtlp("more than 64 KiB"));
    }
    // gRPC always answers 200 and states the result in a header.
    let grpc_status = response.header(GRPC_STATUS);
    let content_type = response.header(header::CONTENT_TYPE);
    if content_type.starts_with("application/grpc") || !matches!(grpc_status.as_str(), "" | "0") {
        return no_otlp_answer(NotOtlp("an answer of gRPC"));
    }
    if is_html(&content_type) {
        return no_otlp_answer(NotOtlp("an HTML page"));
    }
    let ExportResponse { rejected, message, is_foreign } =
        match export_response::read(kind, &content_type, body) {
            Ok(response) => response,
            Err(content) => return no_otlp_answer(content),
        };
    let is_openobserve = profile == Profile::OpenObserve;
    if is_foreign && is_openobserve {
        return no_otlp_answer(NotOtlp("JSON that is not an OTLP response"));
    }
    if is_openobserve && kind == SignalKind::Logs && body == NOTHING_WRITTEN {
        // Another backend may give this answer after storing the items.
        let reason = Reason::NothingWritten;
        return Err(Failure { reason, ambiguous: true, is_crash: false, next: Next::OnceMore });
    }
    if rejected == 0 && is_foreign {
        // Other backends answer in many ways, which are not guessed.
        let text = format!("accepted, but the answer is not OTLP: {}", excerpt(body, mask));
        return Ok(Acceptance { rejected, text });
    }
    Ok(Acceptance { rejected: rejected.min(items), text: excerpt(message.as_bytes(), mask) })
}

/// It is unknown whether the request was stored. It is not retried at once, because each attempt could store it again.
fn no_otlp_answer(status: u16, NotOtlp(text): NotOtlp) -> Failure {
    let reason = Reason::NoOtlpAnswer { status, text };
    Failure { reason, ambiguous: true, is_crash: false, next: Next::Alarm }
}

/// Returns `true` if the backend's code for OTLP, or gRPC, made this error: not a web framework after a panic, and not a proxy
/// whose connection to the backend was closed.
fn is_own_answer(response: &HttpResponse, body: &[u8]) -> bool {
    let content_type = response.header(header::CONTENT_TYPE);
    content_type.starts_with("application/x-protobuf")
        || body.trim_ascii_start().starts_with(b"{")
        || body.starts_with(GRPC_STATUS_TEXT.as_bytes())
}

/// Returns `true` if the response is an HTML or XML page. A proxy sent it, and the backend has not seen the records.
fn is_page(response: &HttpResponse, body: &[u8]) -> bool {
    is_html(&response.header(header::CONTENT_TYPE)) || body.trim_ascii_start().starts_with(b"<")
}

fn is_html(content_type: &str) -> bool {
    content_type.starts_with("text/html") || content_type.starts_with("application/xhtml")
}

/// Returns `true` if the server expected TLS: the answers of Go's and of nginx's, before which no backend saw the records.
fn wants_tls(body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    ["HTTP request to an HTTPS server", "HTTP request was sent to HTTPS port"]
        .iter()
        .any(|text| body.contains(text))
}

fn credentials_hint(profile: Profile) -> &'static str {
    match profile {
        Profile::OpenObserve => "check the authorization header",
        Profile::Otlp => {
            "check the credentials, and the header that the backend wants them in, such as `authorization: Bearer …` or `api-key: …`"
        }
    }
}

fn not_found_hint(profile: Profile, kind: SignalKind) -> &'static str {
    match (profile, kind) {
        (Profile::OpenObserve, _) => {
            "the base URL of OpenObserve ends in /api/{organization}; does the organization exist? \
             Other backends have no /api in it"
        }
        (Profile::Otlp, SignalKind::Traces) => {
            "/v1/traces is appended to the endpoint: is it the base URL, and does the backend take traces?"
        }
        (Profile::Otlp, SignalKind::Metrics) => {
            "/v1/metrics is appended to the endpoint: is it the base URL, and does the backend take metrics?"
        }
        (Profile::Otlp, SignalKind::Logs) => {
            "/v1/logs is appended to the endpoint: is it the base URL, and does the backend take logs?"
        }
    }
}

/// The message of a `google.rpc.Status` (OTLP/HTTP "Failures"), or the whole body if it is none.
fn status_message<'a>(response: &HttpResponse, body: &'a [u8]) -> &'a [u8] {
    if !response.header(header::CONTENT_TYPE).starts_with("application/x-protobuf") {
        return body;
    }
    let fields = wire::protobuf::Reader::new(body).map_while(Result::ok);
    fields.filter(|field| field.number == 2).find_map(|field| field.as_len()).unwrap_or_default()
}

/// An answer of a backend that accepted items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acceptance {
    /// Number of items that the backend rejected, at most the number sent. They must not be sent again (OTLP "Partial Success").
    pub(crate) rejected: usize,
    /// The reason of the rejection, or else a warning; may be empty.
    pub(crate) text: String,
}

/// The failure of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// `true` if the backend may have stored the items.
    pub(crate) ambiguous: bool,
    /// `true` if the backend seems to have crashed while it handled the request.
    pub(crate) is_crash: bool,
    pub(crate) next: Next,
}

/// The next step after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Retry after `after` at the earliest, the response's `Retry-After`; finally queue for retry.
    Retry { after: Option<Duration> },
    /// The backend answered but wrote nothing: send once more, then halve.
    OnceMore,
    /// Queue for retry and alert a person: every request fails until a setting changes.
    Alarm,
    /// The request is too large: halve it, and learn the size limit from the halves that the backend accepts.
    HalveTooLarge,
    /// The backend refuses something in the request: halve it until the refused record is alone.
    HalveRefused,
}

/// Returns the first 200 characters on one line. Masks first, so that a cut never leaves part of a credential.
pub(crate) fn excerpt(body: &[u8], mask: &Mask) -> String {
    aws::one_line(&mask.apply(String::from_utf8_lossy(body)), 200)
}

#[cfg(test)]
pub(crate) mod tests;
