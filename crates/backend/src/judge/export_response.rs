//! Reads the body of a 2xx response: an `Export…ServiceResponse` in protobuf or JSON.
//!
//! The response should have the request's encoding, protobuf (OTLP 1.x "OTLP/HTTP Response"). Gateways nevertheless send JSON, as
//! does OpenObserve 0.60.5 with status 206.

use crate::http::NotOtlp;
use serde_json::Value as Json;
use wire::SignalKind;
use wire::protobuf::{Reader, Value};

const NO_RESPONSE: NotOtlp = NotOtlp("a body that is not an OTLP response");
const NO_COUNT: NotOtlp = NotOtlp("a number of rejected items that cannot be read");

/// The statement of a 2xx response about the items (OTLP 1.x, "Partial Success").
#[derive(Debug, Default)]
pub(super) struct ExportResponse {
    /// Number of rejected spans, data points or log records. A negative number is read as 0.
    pub(super) rejected: usize,
    /// The backend's text. With `rejected` 0 it is a warning.
    pub(super) message: String,
    /// `true` for JSON with fields unknown to OTLP.
    pub(super) is_foreign: bool,
}

/// Reads the body.
///
/// Unknown protobuf fields are allowed only if the content type is protobuf; otherwise many texts would parse as protobuf.
pub(super) fn read(
    kind: SignalKind,
    content_type: &str,
    body: &[u8],
) -> Result<ExportResponse, NotOtlp> {
    let text = body.trim_ascii();
    if text.is_empty() {
        return Ok(ExportResponse::default());
    }
    // Protobuf is tried first for every content type, because OpenObserve has labelled protobuf as JSON. JSON never parses as a
    // response, since `{` would begin a group.
    if let Some(response) = protobuf(body, content_type.starts_with("application/x-protobuf")) {
        return Ok(response);
    }
    match serde_json::from_slice(text) {
        Ok(Json::Object(response)) => json(kind, &response),
        _ => Err(NO_RESPONSE),
    }
}

/// Returns `None` if these bytes are not a response.
fn protobuf(body: &[u8], may_be_newer: bool) -> Option<ExportResponse> {
    let mut found = ExportResponse::default();
    for field in Reader::new(body) {
        let field = field.ok().filter(|field| field.number == 1 || may_be_newer)?;
        // The message of a `google.rpc.Status`, not a newer field.
        if field.number == 2 && field.as_len().is_some() {
            return None;
        }
        if field.number != 1 {
            continue;
        }
        for inner in Reader::new(field.as_len()?) {
            let inner = inner.ok()?;
            match (inner.number, inner.value) {
                (1, Value::Varint(items)) => found.rejected = from_signed(items.cast_signed()),
                (2, Value::Len(text)) => {
                    found.message = String::from_utf8_lossy(text).into_owned();
                }
                (1 | 2, _) => return None,
                _ => {}
            }
        }
    }
    Some(found)
}

type JsonObject = serde_json::Map<String, Json>;

fn json(kind: SignalKind, response: &JsonObject) -> Result<ExportResponse, NotOtlp> {
    let (camel, snake) = match kind {
        SignalKind::Traces => ("rejectedSpans", "rejected_spans"),
        SignalKind::Metrics => ("rejectedDataPoints", "rejected_data_points"),
        SignalKind::Logs => ("rejectedLogRecords", "rejected_log_records"),
    };
    if states_error(response) {
        return Err(NotOtlp("an error in its body"));
    }
    let is_known = |name: &String| matches!(name.as_str(), "partialSuccess" | "partial_success");
    let is_foreign = !response.keys().all(is_known);
    match of(response, "partialSuccess", "partial_success") {
        None => Ok(ExportResponse { is_foreign, ..ExportResponse::default() }),
        Some(Json::Object(partial)) => {
            let count = of(partial, camel, snake);
            let rejected = count.map_or(Some(0), number).ok_or(NO_COUNT)?;
            let text = of(partial, "errorMessage", "error_message").and_then(Json::as_str);
            let message = text.unwrap_or_default().to_owned();
            Ok(ExportResponse { rejected, message, is_foreign })
        }
        Some(_) => Err(NO_RESPONSE),
    }
}

/// Returns `true` for an answer that says that it is an error, which proxies and gateways send with status 200. Only values of the
/// usual types count: other servers use these names for other things.
fn states_error(response: &JsonObject) -> bool {
    response.iter().any(|(name, value)| match (name.as_str(), value) {
        // `{"code":503,"message":"…"}` of OpenObserve, and JSON of a `google.rpc.Status`.
        ("code", Json::Number(code)) => {
            let code = code.as_u64().unwrap_or_default();
            code >= 400 || (1..=16).contains(&code) && response.contains_key("message")
        }
        ("status" | "statusCode", Json::Number(status)) => status.as_u64() >= Some(400),
        ("status" | "result", Json::String(word)) => {
            let words = ["error", "fail", "failed", "failure"];
            words.iter().any(|known| word.eq_ignore_ascii_case(known))
        }
        ("success" | "ok", Json::Bool(is_good)) => !is_good,
        ("error", Json::Bool(is_bad)) => *is_bad,
        ("error", Json::String(text)) => !text.is_empty(),
        ("error", Json::Object(error)) => !error.is_empty(),
        ("errors", Json::Array(errors)) => !errors.is_empty(),
        _ => false,
    })
}

/// Returns the value under either name; `null` counts as absent (protobuf JSON mapping).
fn of<'a>(object: &'a JsonObject, camel: &str, snake: &str) -> Option<&'a Json> {
    let value = object.get(camel).or_else(|| object.get(snake));
    value.filter(|value| !value.is_null())
}

/// Reads an int64, which is a string in JSON (protobuf JSON mapping), or a number.
fn number(value: &Json) -> Option<usize> {
    match value {
        Json::String(text) => text.trim().parse().ok().map(from_signed),
        Json::Number(number) => number.as_i64().map(from_signed),
        _ => None,
    }
}

/// Valid counts are never negative; a negative number is read as 0.
fn from_signed(items: i64) -> usize {
    usize::try_from(items).unwrap_or(0)
}
