//! The meaning of a response for the request.
//!
//! Sources: OTLP 1.x "OTLP/HTTP Response"; OpenObserve 0.60.5 and 0.92.2 as measured.

mod export_response;
pub(crate) mod reason;

use crate::destination::Profile;
use crate::http::HttpResponse;
use crate::mask::Mask;
use bytes::Bytes;
use export_response::{ExportResponse, PartialSuccess};
use http::header::{self, HeaderName};
pub use reason::Reason;
use reason::is_temporary;
use std::time::Duration;
use wire::SignalKind;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// OpenObserve's answer after a failed write of logs: a `partial_success` without a count or a text. Every other
/// `partial_success` without rejected items is a warning.
const NOTHING_WRITTEN: &[u8] = &[0x0a, 0x00];

/// Judges the response to a request with `items` items. Masks the reason and the warning.
pub(crate) fn judge(
    profile: Profile,
    kind: SignalKind,
    items: usize,
    response: &HttpResponse,
    mask: &Mask,
) -> Judgement {
    let body = match response.inflated_body() {
        Ok(body) => body,
        Err(text) if response.is_success() => return no_otlp_answer(response.status, text),
        Err(_) => Bytes::new(),
    };
    let text = excerpt(status_message(response, &body), mask);
    let reason = |hint| Reason::Status { status: response.status, text: text.clone(), hint };
    let alarm = |hint| Judgement::Alarm { ambiguous: false, reason: reason(hint) };
    let retry = |ambiguous| Judgement::Retry {
        after: response.retry_after(),
        ambiguous,
        reason: reason(""),
    };
    match response.status {
        200..=299 => judge_success(profile, kind, items, response, &body, mask),
        300..=399 => alarm("redirects are not followed, give the final URL as the endpoint"),
        401 | 403 => alarm("check the authorization header"),
        404 => alarm(not_found_hint(profile)),
        413 => Judgement::Split { reason: reason("") },
        // A gateway that timed out, or a server that failed midway, may have stored some items.
        500 | 502 | 504 => retry(true),
        408 | 425 | 429 | 500..=599 => retry(false),
        400 if is_temporary(&text) => retry(false),
        400 | 422 if is_page(response, &body) => Judgement::Alarm {
            ambiguous: false,
            reason: Reason::NoOtlpAnswer {
                status: response.status,
                text: "a page, as proxies answer",
            },
        },
        400 | 422 => Judgement::Halve { reason: reason("") },
        // 405, 415 and other statuses never blame a record, so none is dead-lettered.
        _ => alarm(""),
    }
}

fn judge_success(
    profile: Profile,
    kind: SignalKind,
    items: usize,
    response: &HttpResponse,
    body: &[u8],
    mask: &Mask,
) -> Judgement {
    if response.cut {
        return no_otlp_answer(response.status, "more than 64 KiB");
    }
    // gRPC always answers 200 and states the result in a header.
    let grpc_status = response.header(GRPC_STATUS);
    let content_type = response.header(header::CONTENT_TYPE);
    if content_type.starts_with("application/grpc") || !matches!(grpc_status.as_str(), "" | "0") {
        return no_otlp_answer(response.status, "an answer of gRPC");
    }
    if is_html(&content_type) {
        return no_otlp_answer(response.status, "an HTML page");
    }
    let ExportResponse { partial, is_foreign } =
        match export_response::read(kind, &content_type, body) {
            Ok(response) => response,
            Err(text) => return no_otlp_answer(response.status, text),
        };
    let is_openobserve = profile == Profile::OpenObserve;
    if is_foreign && is_openobserve {
        return no_otlp_answer(response.status, "JSON that is not an OTLP response");
    }
    if is_openobserve && kind == SignalKind::Logs && body == NOTHING_WRITTEN {
        return Judgement::OnceMore { reason: Reason::NothingWritten };
    }
    match partial {
        Some(PartialSuccess { items: rejected @ 1.., message }) => {
            let reason = Reason::Rejected { text: excerpt(message.as_bytes(), mask) };
            Judgement::Partial { rejected: rejected.min(items), reason }
        }
        // Other backends answer in many ways, which are not guessed.
        _ if is_foreign => {
            let text = excerpt(body, mask);
            let warning = format!("accepted, but the answer is not OTLP: {text}");
            Judgement::Accepted { warning }
        }
        partial => {
            let message = partial.unwrap_or_default().message;
            Judgement::Accepted { warning: excerpt(message.as_bytes(), mask) }
        }
    }
}

/// It is unknown whether the request was stored. It is not retried at once, because each attempt could store it again.
fn no_otlp_answer(status: u16, text: &'static str) -> Judgement {
    Judgement::Alarm { ambiguous: true, reason: Reason::NoOtlpAnswer { status, text } }
}

/// Returns `true` if the response is an HTML or XML page. A proxy sent it, and the backend has not seen the records.
fn is_page(response: &HttpResponse, body: &[u8]) -> bool {
    is_html(&response.header(header::CONTENT_TYPE)) || body.trim_ascii_start().starts_with(b"<")
}

fn is_html(content_type: &str) -> bool {
    content_type.starts_with("text/html") || content_type.starts_with("application/xhtml")
}

fn not_found_hint(profile: Profile) -> &'static str {
    match profile {
        Profile::OpenObserve => {
            "the base URL of OpenObserve ends in /api/{organization}; does the organization exist? \
             Other backends have no /api in it"
        }
        Profile::Otlp => "is the base URL right? /v1/{signal} is appended to it",
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

/// The next step for a request after its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The backend accepted all items. The text is its warning.
    Accepted {
        /// The backend's text; empty without a warning.
        warning: String,
    },
    /// The backend accepted all items but these, which must not be sent again (OTLP "Partial Success").
    Partial {
        /// Number of rejected items, at most the number sent.
        rejected: usize,
        reason: Reason,
    },
    /// Retry after `after` at the earliest; finally queue for retry.
    Retry {
        /// The `Retry-After` of the response.
        after: Option<Duration>,
        /// `true` if the backend may have stored the items.
        ambiguous: bool,
        reason: Reason,
    },
    /// The backend answered but wrote nothing: send once more, then halve.
    OnceMore { reason: Reason },
    /// Queue for retry and alert a person: every request fails until a setting changes.
    Alarm {
        /// `true` if the backend may have stored the items.
        ambiguous: bool,
        reason: Reason,
    },
    /// The request is too large: split it by size.
    Split { reason: Reason },
    /// The backend refuses something in the request: halve it until the refused record is alone.
    Halve { reason: Reason },
}

/// Returns the first 200 characters on one line. Masks first, so that a cut never leaves part of a credential.
pub(crate) fn excerpt(body: &[u8], mask: &Mask) -> String {
    aws::one_line(&mask.apply(String::from_utf8_lossy(body)), 200)
}

#[cfg(test)]
pub(crate) mod tests;
