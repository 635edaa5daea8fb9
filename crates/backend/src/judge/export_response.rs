//! Reads the body of a 2xx response: an `Export…ServiceResponse` in protobuf or JSON.
//!
//! The response should have the request's encoding, protobuf (OTLP 1.x "OTLP/HTTP Response"). Gateways nevertheless send JSON, as
//! does OpenObserve 0.60.5 with status 206.

use serde_json::Value as Json;
use wire::SignalKind;
use wire::protobuf::{Reader, Value};

/// The complaint about a body that is not an OTLP response.
const NO_RESPONSE: &str = "a body that is not an OTLP response";

/// The complaint about a `partial_success` whose count is not a number.
const NO_COUNT: &str = "a number of rejected items that cannot be read";

/// The statement of a 2xx response about the items.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExportResponse {
    Complete,
    /// Some items were rejected, or there is a warning.
    Partial(PartialSuccess),
    /// A JSON object with fields unknown to OTLP.
    Unknown {
        /// `true` if the body is an error of OpenObserve, whatever the status.
        is_error: bool,
        /// Its `partial_success`, if present.
        partial: Option<PartialSuccess>,
    },
}

/// The `partial_success` of a response (OTLP 1.x, "Partial Success").
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PartialSuccess {
    /// Number of rejected spans, data points or log records. A negative number is read as 0.
    pub(super) items: usize,
    /// The backend's text. With `items` 0 it is a warning.
    pub(super) message: String,
}

/// Reads the body. The error describes the problem.
///
/// Unknown protobuf fields are allowed only if the content type is protobuf; otherwise many texts would parse as protobuf.
pub(super) fn read(
    kind: SignalKind,
    content_type: &str,
    body: &[u8],
) -> Result<ExportResponse, &'static str> {
    let text = body.trim_ascii();
    if text.is_empty() {
        return Ok(ExportResponse::Complete);
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
    let mut found: Option<PartialSuccess> = None;
    for field in Reader::new(body) {
        let field = field.ok().filter(|field| field.number == 1 || may_be_newer)?;
        // The message of a `google.rpc.Status`, not a newer field.
        if field.number == 2 && field.as_len().is_some() {
            return None;
        }
        if field.number != 1 {
            continue;
        }
        let rejected = found.get_or_insert_default();
        for inner in Reader::new(field.as_len()?) {
            let inner = inner.ok()?;
            match (inner.number, inner.value) {
                (1, Value::Varint(items)) => rejected.items = from_signed(items.cast_signed()),
                (2, Value::Len(text)) => {
                    rejected.message = String::from_utf8_lossy(text).into_owned();
                }
                (1 | 2, _) => return None,
                _ => {}
            }
        }
    }
    Some(found.map_or(ExportResponse::Complete, ExportResponse::Partial))
}

type JsonObject = serde_json::Map<String, Json>;

fn json(kind: SignalKind, response: &JsonObject) -> Result<ExportResponse, &'static str> {
    let (camel, snake) = match kind {
        SignalKind::Traces => ("rejectedSpans", "rejected_spans"),
        SignalKind::Metrics => ("rejectedDataPoints", "rejected_data_points"),
        SignalKind::Logs => ("rejectedLogRecords", "rejected_log_records"),
    };
    let partial = match of(response, "partialSuccess", "partial_success") {
        None => None,
        Some(Json::Object(partial_success)) => {
            let items = match of(partial_success, camel, snake) {
                None => 0,
                Some(count) => number(count).ok_or(NO_COUNT)?,
            };
            // The count of another signal or an unknown name: the number of rejected items of this signal is unknown.
            let is_other =
                |name: &str| name.starts_with("rejected") && ![camel, snake].contains(&name);
            if partial_success
                .iter()
                .any(|(name, count)| is_other(name) && number(count) != Some(0))
            {
                return Err(NO_COUNT);
            }
            let message = of(partial_success, "errorMessage", "error_message");
            let message = message.and_then(Json::as_str).unwrap_or_default().to_owned();
            Some(PartialSuccess { items, message })
        }
        Some(_) => return Err(NO_RESPONSE),
    };
    let is_known = |name: &String| matches!(name.as_str(), "partialSuccess" | "partial_success");
    if !response.keys().all(is_known) {
        return Ok(ExportResponse::Unknown { is_error: is_error(response), partial });
    }
    Ok(partial.map_or(ExportResponse::Complete, ExportResponse::Partial))
}

/// Returns `true` for OpenObserve's answer `{"code":503,"message":"…"}`, which a proxy may send with another status.
fn is_error(response: &JsonObject) -> bool {
    response.get("code").and_then(Json::as_u64).is_some_and(|code| code >= 400)
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

#[cfg(test)]
mod tests {
    use super::*;
    use SignalKind::{Logs, Metrics, Traces};

    #[track_caller]
    fn check(kind: SignalKind, body: impl AsRef<[u8]>, expected: &str) {
        let found = match read(kind, "", body.as_ref()) {
            Ok(ExportResponse::Complete) => "all taken".to_owned(),
            Ok(ExportResponse::Partial(PartialSuccess { items, message })) => {
                format!("{items} rejected: {message}")
            }
            Ok(ExportResponse::Unknown { is_error, .. }) => {
                if is_error { "error" } else { "unknown" }.to_owned()
            }
            Err(text) => text.to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn protobuf_responses_are_parsed_completely() {
        check(Traces, [], "all taken");
        check(Traces, "\r\n", "all taken");
        check(Logs, [0x0a, 0], "0 rejected: ");
        check(Logs, [0x0a, 6, 8, 3, 0x12, 2, b'n', b'o'], "3 rejected: no");
        // Fields may repeat, and newer ones may appear.
        check(Logs, [0x0a, 2, 8, 3, 0x0a, 4, 0x12, 2, b'n', b'o'], "3 rejected: no");
        check(Logs, [0x0a, 4, 8, 3, 0x18, 1], "3 rejected: ");
        let minus_one = [0x0a, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        check(Logs, minus_one, "0 rejected: ");
        check(Logs, [0x0a, 2, 8, 2, 0xff], NO_RESPONSE);
        check(Logs, [0x0a, 3, 8, 2, 0xff], NO_RESPONSE);
        check(Logs, [0x0a, 9, 8, 2], NO_RESPONSE);
        check(Logs, [0x18, 2], NO_RESPONSE);
        assert_eq!(read(Logs, "application/x-protobuf", &[0x18, 2]), Ok(ExportResponse::Complete));
        assert_eq!(read(Logs, "application/x-protobuf", &[0x18]), Err(NO_RESPONSE));
        check(Logs, [0x0a, 5, 0x0d, 0, 0, 0, 0], NO_RESPONSE);
    }

    #[test]
    fn json_responses_are_parsed_in_both_spellings() {
        check(Traces, "{}", "all taken");
        check(Traces, r#"{"partialSuccess":null}"#, "all taken");
        for unknown in [
            r#"{"status":"ok"}"#,
            r#"{"partialSuccess":{},"took":3}"#,
            r#"{"code":200,"message":"done"}"#,
            r#"{"code":399}"#,
            // Names and words of other servers are not guessed.
            r#"{"status":"none"}"#,
            r#"{"status":"normal","errors":"no errors"}"#,
            r#"{"success":0,"code":"400"}"#,
        ] {
            check(Traces, unknown, "unknown");
        }
        for error in [
            r#"{"code":503,"message":"Error# MemoryTableOverflowError"}"#,
            r#"{"code":401,"message":"Unauthorized Access"}"#,
            r#"{"code":400}"#,
        ] {
            check(Traces, error, "error");
        }
        check(Traces, r#"{"partialSuccess":{}}"#, "0 rejected: ");
        let body = r#" {"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}} "#;
        check(Traces, body, "2 rejected: old");
        check(Traces, r#"{"partialSuccess":{"rejectedSpans":2}}"#, "2 rejected: ");
        check(Traces, r#"{"partialSuccess":{"rejectedSpans":-2}}"#, "0 rejected: ");
        check(Traces, r#"{"partial_success":{"rejected_spans":2}}"#, "2 rejected: ");
        check(Logs, r#"{"partialSuccess":{"rejectedLogRecords":"2"}}"#, "2 rejected: ");
        check(Logs, r#"{"partial_success":{"rejected_log_records":2}}"#, "2 rejected: ");
        check(Metrics, r#"{"partialSuccess":{"rejectedDataPoints":"2"}}"#, "2 rejected: ");
        check(Metrics, r#"{"partial_success":{"rejected_data_points":2}}"#, "2 rejected: ");
        check(Metrics, r#"{"partial_success":{"error_message":"old"}}"#, "0 rejected: old");
        check(Logs, r#"{"partialSuccess":{"rejectedLogRecords":"many"}}"#, NO_COUNT);
        check(Logs, r#"{"partialSuccess":{"rejectedLogRecords":2.5}}"#, NO_COUNT);
        check(Logs, r#"{"partialSuccess":"none"}"#, NO_RESPONSE);
    }

    #[test]
    fn other_bodies_are_no_export_response() {
        check(Traces, "Unauthorized: please log in", NO_RESPONSE);
        check(Traces, "ok", NO_RESPONSE);
        check(Traces, "<html>", NO_RESPONSE);
        check(Traces, r#""ok""#, NO_RESPONSE);
        check(Traces, "[]", NO_RESPONSE);
        check(Traces, r#"{"partialSuccess":"#, NO_RESPONSE);
    }
}
