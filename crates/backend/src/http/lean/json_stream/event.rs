//! Converts an event to a log record, and log records to the array of the endpoint.

use std::fmt::Write as _;
use wire::protobuf::{Reader, Value, Writer, messages};
use wire::{Request, SignalKind};

// Field numbers: opentelemetry-proto 1.x.
const CONTAINERS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPES: u32 = 2;
const RECORDS: u32 = 2;
const ATTRIBUTE: u32 = 6;

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
        Writer::new(records).message(RECORDS, |record| {
            record.fixed64(1, self.time_unix_nano);
            let (body, is_json) = match self.record {
                JsonStreamRecord::Text(text) => (text, false),
                JsonStreamRecord::Json(json) => (json, true),
            };
            record.message(5, |value| value.always_string(1, body));
            let kind = [(TYPE, Some(self.kind)), (REQUEST_ID, self.request_id)];
            for (key, value) in kind.into_iter().chain([(JSON, is_json.then_some("true"))]) {
                let Some(value) = value else { continue };
                record.message(ATTRIBUTE, |pair| {
                    pair.always_string(1, key);
                    pair.message(2, |any| any.always_string(1, value));
                });
            }
        });
    }
}

/// Builds a request with this number of events of this service.
pub fn events_request(service_name: &str, records: &[u8], events: usize) -> Request {
    let mut bytes = Vec::with_capacity(records.len() + 128);
    let mut head = Vec::new();
    Writer::new(&mut head).message(RESOURCE, |resource| {
        resource.message(1, |pair| {
            pair.always_string(1, wire::resource::SERVICE_NAME);
            pair.message(2, |any| any.always_string(1, service_name));
        });
    });
    let mut scope = Vec::with_capacity(records.len() + 16);
    Writer::new(&mut scope).concatenated(SCOPES, &[], records);
    Writer::new(&mut bytes).concatenated(CONTAINERS, &head, &scope);
    Request::counted(SignalKind::Logs, bytes, events)
}

/// Converts all records of a request to the array, and returns their number.
pub(in crate::http::lean) fn json_array(request: &[u8]) -> (String, usize) {
    let mut json = String::with_capacity(request.len() + request.len() / 4);
    let mut events = 0;
    for container in messages(request, CONTAINERS) {
        for scope in messages(container, SCOPES) {
            for record in messages(scope, RECORDS) {
                json.push(if events == 0 { '[' } else { ',' });
                write_event(record, &mut json);
                events += 1;
            }
        }
    }
    json.push_str(if events == 0 { "[]" } else { "]" });
    (json, events)
}

fn write_event(record: &[u8], json: &mut String) {
    let (mut time, mut body) = (0, "");
    let (mut kind, mut request_id, mut is_json) = ("", None, false);
    for field in Reader::new(record).map_while(Result::ok) {
        match (field.number, field.value) {
            (1, Value::Fixed64(nanos)) => time = nanos,
            (5, Value::Len(value)) => body = text(value),
            (ATTRIBUTE, Value::Len(pair)) => {
                let value = messages(pair, 2).next().map(text).unwrap_or_default();
                match messages(pair, 1).next() {
                    Some(key) if key == TYPE.as_bytes() => kind = value,
                    Some(key) if key == REQUEST_ID.as_bytes() => request_id = Some(value),
                    Some(key) if key == JSON.as_bytes() => is_json = true,
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

/// The text of an `AnyValue`.
fn text(value: &[u8]) -> &str {
    messages(value, 1).next().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

fn push_string(text: &str, json: &mut String) {
    json.push_str(&serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_events_match_the_previous_extension_format() {
        let mut records = Vec::new();
        let event = |kind, record, request_id| JsonStreamEvent {
            time_unix_nano: 1_790_000_000_123_456_789,
            kind,
            record,
            request_id,
        };
        event("function", JsonStreamRecord::Text("say \"hi\"\n"), Some("r-1")).write(&mut records);
        event("platform.start", JsonStreamRecord::Json(r#"{"requestId":"r-1"}"#), Some("r-1"))
            .write(&mut records);
        event("extension", JsonStreamRecord::Text(""), None).write(&mut records);
        let request = events_request("orders", &records, 3);
        let checked =
            Request::check(SignalKind::Logs, request.bytes().to_vec(), &wire::Limits::default());
        assert_eq!(checked.unwrap().items(), 3);
        let (json, events) = json_array(request.bytes());
        assert_eq!(events, 3);
        expect_test::expect![[r#"[{"_timestamp":1790000000123456,"type":"function","record":"say \"hi\"\n","requestId":"r-1"},{"_timestamp":1790000000123456,"type":"platform.start","record":{"requestId":"r-1"},"requestId":"r-1"},{"_timestamp":1790000000123456,"type":"extension","record":""}]"#]]
        .assert_eq(&json);
        assert_eq!(json_array(&[]), ("[]".to_owned(), 0));
        // The result stays readable after cuts and joins.
        let (first, second) = request.split_at(1);
        assert_eq!((json_array(first.bytes()).1, json_array(second.bytes()).1), (1, 2));
    }
}
