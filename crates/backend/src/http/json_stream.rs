//! Telemetry API events in the form of OpenObserve's older Lambda extension: `POST /api/{organization}/{stream}/_json` with an
//! array of `{"_timestamp", "type", "record", "requestId"}`.
//!
//! Up to the transport an event is a log record, so that buffering, splitting, retry and accounting are shared. The transport
//! writes the array and translates the answers to OTLP.
//!
//! Source: OpenObserve 0.60.5 as measured: times in microseconds; answers count `successful` and `failed`, and omit both after a
//! failed write.

use crate::http::HttpResponse;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use std::fmt::Write as _;
use wire::field::{any_value, container, log_record, request, resource, scope_container};
use wire::protobuf::{Value, Writer, fields};
use wire::resource::SERVICE_NAME;
use wire::view::{self, Container, ScopeContainer, key_and_value, text};
use wire::{Request, SignalKind};

const TYPE: &str = "type";
const REQUEST_ID: &str = "requestId";
/// Marks records whose body is JSON instead of text.
const JSON: &str = "json";

/// The content of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonStreamRecord<'a> {
    Text(&'a str),
    Json(&'a str),
}

/// An event of the Telemetry API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonStreamEvent<'a> {
    /// Unix time in nanoseconds.
    pub time_unix_nano: u64,
    /// `function`, `extension`, `platform.report`, …
    pub kind: &'a str,
    /// `record` as Lambda sent it.
    pub record: JsonStreamRecord<'a>,
    /// The invocation of the event, if known.
    pub request_id: Option<&'a str>,
}

impl JsonStreamEvent<'_> {
    /// Appends the event to the records of a scope for [`events_request`].
    pub fn write(&self, records: &mut Vec<u8>) {
        Writer::new(records).message(scope_container::ITEMS, |record| {
            record.fixed64(log_record::TIME, self.time_unix_nano);
            let (body, is_json) = match self.record {
                JsonStreamRecord::Text(text) => (text, false),
                JsonStreamRecord::Json(json) => (json, true),
            };
            record.message(log_record::BODY, |value| value.always_string(any_value::STRING, body));
            let attributes = [
                (TYPE, Some(self.kind)),
                (REQUEST_ID, self.request_id),
                (JSON, is_json.then_some("true")),
            ];
            for (key, value) in attributes {
                let Some(value) = value else { continue };
                record.text_attribute(log_record::ATTRIBUTES, key, value);
            }
        });
    }
}

/// Builds a request with this number of events of this service.
pub fn events_request(service_name: &str, records: &[u8], events: usize) -> Request {
    let mut bytes = Vec::with_capacity(records.len() + 128);
    let mut head = Vec::new();
    Writer::new(&mut head).message(container::RESOURCE, |out| {
        out.text_attribute(resource::ATTRIBUTES, SERVICE_NAME, service_name);
    });
    let mut scope = Vec::with_capacity(records.len() + 16);
    Writer::new(&mut scope).concatenated(container::SCOPES, &[], records);
    Writer::new(&mut bytes).concatenated(request::CONTAINERS, &head, &scope);
    Request::counted(SignalKind::Logs, bytes, events)
}

/// Converts all records of a request to the array.
pub(super) fn json_array(request: &[u8]) -> String {
    let mut json = String::with_capacity(request.len() + request.len() / 4);
    json.push('[');
    let scopes = view::containers(SignalKind::Logs, request).flat_map(Container::scopes);
    for record in scopes.flat_map(ScopeContainer::messages) {
        if json.len() > 1 {
            json.push(',');
        }
        write_event(record, &mut json);
    }
    json.push(']');
    json
}

fn write_event(record: &[u8], json: &mut String) {
    let mut time = 0;
    let mut body = "";
    let mut kind = "";
    let mut request_id = None;
    let mut is_json = false;
    for field in fields(record) {
        match (field.number, field.value) {
            (log_record::TIME, Value::Fixed64(nanos)) => time = nanos,
            (log_record::BODY, Value::Len(value)) => body = text(value).unwrap_or_default(),
            (log_record::ATTRIBUTES, Value::Len(pair)) => {
                let (key, value) = key_and_value(pair);
                match std::str::from_utf8(key) {
                    Ok(TYPE) => kind = text(value).unwrap_or_default(),
                    Ok(REQUEST_ID) => request_id = text(value),
                    Ok(JSON) => is_json = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    // Writing to a String cannot fail.
    write!(json, "{{\"_timestamp\":{},\"type\":", time / 1000).unwrap_or_default();
    push_string(kind, json);
    json.push_str(",\"record\":");
    if is_json {
        json.push_str(body);
    } else {
        push_string(body, json);
    }
    if let Some(request_id) = request_id {
        json.push_str(",\"requestId\":");
        push_string(request_id, json);
    }
    json.push('}');
}

fn push_string(text: &str, json: &mut String) {
    json.push_str(&serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned()));
}

/// Without the counts the number of stored records is unknown.
const NO_COUNTS: &str = "no counts of stored records";

#[derive(Deserialize)]
struct Answer {
    status: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    successful: usize,
    failed: usize,
    #[serde(default)]
    error: String,
}

/// Translates the answer to a number of events. Errors stay as they are. Any other foreign answer remains foreign to OTLP too.
pub(super) fn in_otlp(response: HttpResponse, events: usize) -> HttpResponse {
    if !response.is_success() || response.cut {
        return response;
    }
    let body = response.inflated_body().ok();
    let answer = body.and_then(|body| serde_json::from_slice::<Answer>(&body).ok());
    let Some(answer) = answer else {
        let mut headers = response.headers;
        headers.remove(CONTENT_ENCODING);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        return HttpResponse { headers, body: NO_COUNTS.into(), ..response };
    };
    let all = |of: fn(&Status) -> usize| answer.status.iter().map(of).sum::<usize>();
    let successful = all(|status| status.successful);
    let failed = all(|status| status.failed);
    let mut body = Vec::new();
    if successful.saturating_add(failed) < events {
        // A failed write is answered with 200 and a lower count.
        Writer::new(&mut body).always_bytes(1, b"");
    } else if failed > 0 {
        let errors = answer.status.iter().map(|status| status.error.as_str());
        let error = errors.filter(|error| !error.is_empty()).collect::<Vec<_>>().join("; ");
        Writer::new(&mut body).message(1, |partial| {
            partial.always_varint(1, failed as u64);
            partial.string(2, &error);
        });
    }
    let mut headers = response.headers;
    headers.remove(CONTENT_ENCODING);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    HttpResponse { headers, body: body.into(), ..response }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Profile;
    use crate::judge::tests::{judge, one_word, response};

    #[test]
    fn json_stream_counts_decide_the_judgement() {
        let check = |status, body: &str, expected: &str| {
            let body = body.to_owned().into();
            let head = response("200, content-type: application/json");
            let answer = in_otlp(HttpResponse { status, body, ..head }, 3);
            let judged = judge(Profile::OpenObserve, SignalKind::Logs, 3, &answer);
            assert_eq!(one_word(&judged), expected, "{status}");
        };
        let counts = |successful, failed| {
            format!(
                r#"{{"code":200,"status":[{{"name":"s","successful":{successful},"failed":{failed},"error":"Can't parse timestamp"}}]}}"#
            )
        };
        check(200, &counts(3, 0), "accepted");
        check(200, &counts(1, 2), "partial 2, Can't parse timestamp");
        check(200, &counts(0, 0), "once more, ambiguous");
        check(200, &counts(1, 0), "once more, ambiguous");
        for foreign in ["[]", "{}", ""] {
            check(200, foreign, "alarm, ambiguous");
        }
        check(204, "", "alarm, ambiguous");
        check(503, r#"{"code":503,"message":"Error# MemoryTableOverflowError"}"#, "retry");
        check(400, r#"{"code":400,"message":"Invalid json"}"#, "halve");
        check(401, "Unauthorized Access", "alarm");
    }
}
