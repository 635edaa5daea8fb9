//! OTLP/JSON: a table of accepted and refused spellings, the limits of its reader, and why it is ours.

use crate::check_table;
use expect_test::expect_file;
use lambda_otlp_wire::{JsonError, Limits, Logs, Malformed, Request, SignalKind};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;

fn read(kind: SignalKind, json: &str) -> Result<Request, String> {
    let request = Request::from_json(kind, json.as_bytes(), &Limits::default());
    request.map_err(|error| error.to_string())
}

/// The signal of a case's word, and the request around its JSON.
fn around(word: &str) -> (SignalKind, &'static str, &'static str) {
    match word {
        "value" => (
            SignalKind::Logs,
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#,
            "}]}]}]}",
        ),
        "record" => {
            (SignalKind::Logs, r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":["#, "]}]}]}")
        }
        "span" => (SignalKind::Traces, r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#, "]}]}]}"),
        "metric" => {
            (SignalKind::Metrics, r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":["#, "]}]}]}")
        }
        word => {
            let kind = SignalKind::ALL.into_iter().find(|kind| kind.as_str() == word);
            (kind.unwrap(), "", "")
        }
    }
}

#[test]
fn each_spelling_is_read_or_refused() {
    check_table(&expect_file!["json-cases.txt"], |line| {
        let (word, json) = line.split_once(' ').unwrap_or((line, ""));
        let (kind, before, after) = around(word);
        match read(kind, &format!("{before}{json}{after}")) {
            Ok(request) => {
                let written = request.to_json();
                let inner = written.strip_prefix(before);
                inner.and_then(|inner| inner.strip_suffix(after)).unwrap_or(&written).to_owned()
            }
            Err(error) => error,
        }
    });
}

#[test]
fn nesting_size_and_item_count_are_limited() {
    let limits = Limits { inflated_bytes: 1000, nesting: 8, items: 3, ..Limits::default() };
    let read = |json: &str| {
        Request::from_json(SignalKind::Logs, json.as_bytes(), &limits).map_err(|e| e.to_string())
    };
    let nested = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(levels), "]}}".repeat(levels));
        let body = format!("{open}{{}}{close}");
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}"#)
    };
    // Request, ResourceLogs, ScopeLogs, LogRecord, AnyValue; then two for each level.
    assert_eq!(read(&nested(1)).unwrap().items(), 1);
    assert_eq!(read(&nested(2)), Err("messages are nested deeper than 8 levels".into()));
    let deep = Request::from_json(SignalKind::Logs, nested(3000).as_bytes(), &Limits::default());
    assert_eq!(deep.unwrap_err(), JsonError::Malformed(Malformed::TooDeep(64)));
    let records = |records: usize| {
        let records = vec!["{}"; records].join(",");
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#)
    };
    assert_eq!(read(&records(3)).unwrap().items(), 3);
    assert_eq!(
        read(&records(4)),
        Err("4 items in one request, but the limit leaves room for 3".into())
    );
    assert_eq!(read(&records(600)), Err("request becomes larger than 1000 bytes".into()));
    // Two bytes of JSON become eight of protobuf.
    let counts = vec!["0"; 200].join(",");
    let packed = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{counts}]}}]}}}}]}}]}}]}}"#
    );
    let error = Request::from_json(SignalKind::Metrics, packed.as_bytes(), &limits).unwrap_err();
    assert_eq!(error.to_string(), "request becomes larger than 1000 bytes");
    let bytes = Request::from_json(SignalKind::Logs, b"{\"\xff\":1}", &Limits::default());
    assert_eq!(bytes.unwrap_err(), JsonError::NotUtf8);
}

/// The cases for which opentelemetry-proto's reader is unsuitable: if one of these begins to pass there, the reason for ours is
/// gone.
#[test]
fn opentelemetry_proto_rejects_or_misreads_some_otlp_json() {
    let theirs = |value: &str| {
        serde_json::from_str::<LogRecord>(&format!(r#"{{"body":{value}}}"#))
            .map(|record| record.body.and_then(|body| body.value))
            .map_err(|error| error.to_string())
    };
    for (why, value) in [
        ("doubles may be text", r#"{"doubleValue":"NaN"}"#),
        ("integers may be written as 1.0", r#"{"intValue":1.0}"#),
        ("half a surrogate pair", r#"{"stringValue":"\ud83d"}"#),
    ] {
        assert!(theirs(value).is_err(), "{why}");
        let (kind, before, after) = around("value");
        assert!(read(kind, &format!("{before}{value}{after}")).is_ok(), "{why}");
    }
    assert!(theirs(r#"{"intValue":"1","stringValue":"x"}"#).is_ok(), "two values, the last taken");
    assert!(serde_json::from_str::<Span>(r#"{"kind":"SPAN_KIND_SERVER"}"#).is_err());
    assert!(serde_json::from_str::<Span>(r#"{"traceId":null}"#).is_err());
    let ignored = serde_json::from_str::<Span>(r#"{"start_time_unix_nano":"1"}"#).unwrap();
    assert_eq!(ignored.start_time_unix_nano, 0);
}

/// The cases for which opentelemetry-proto's writer is unsuitable: if its text becomes ours, the reason for ours is gone.
#[test]
fn opentelemetry_proto_loses_some_doubles_and_writes_absent_fields() {
    let check = |log_record: &str, theirs: &str| {
        let json =
            format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{log_record}]}}]}}]}}"#);
        let request = Request::from_json(SignalKind::Logs, json.as_bytes(), &Limits::default());
        let request = request.unwrap();
        assert_eq!(request.to_json(), json);
        let record = &request.decode::<Logs>().unwrap().unwrap().resource_logs[0].scope_logs[0]
            .log_records[0];
        assert_eq!(serde_json::to_string(record).unwrap(), theirs);
    };
    // Absent fields of a record, as zero, empty or `null`.
    let before_body = r#"{"timeUnixNano":"0","observedTimeUnixNano":"0","severityNumber":0,"severityText":"","body":"#;
    let behind_attributes =
        r#","droppedAttributesCount":0,"flags":0,"traceId":"","spanId":"","eventName":""}"#;
    check("{}", &format!(r#"{before_body}null,"attributes":[]{behind_attributes}"#));
    // An attribute without a value gets one.
    check(
        r#"{"attributes":[{"key":"k"}]}"#,
        &format!(
            r#"{before_body}null,"attributes":[{{"key":"k","value":null}}]{behind_attributes}"#
        ),
    );
    // Doubles without digits in JSON are lost.
    for lost in ["NaN", "Infinity", "-Infinity"] {
        check(
            &format!(r#"{{"body":{{"doubleValue":"{lost}"}}}}"#),
            &format!(r#"{before_body}{{"doubleValue":null}},"attributes":[]{behind_attributes}"#),
        );
    }
}

#[test]
fn repeated_protobuf_fields_are_merged_in_json() {
    let mut bytes = Vec::new();
    lambda_otlp_wire::protobuf::Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| resource.varint(2, 1));
        container.message(1, |resource| resource.message(1, |pair| pair.string(1, "k")));
        container.message(2, |scope| {
            scope.message(2, |record| {
                record.string(3, "first");
                record.string(3, "last");
                record.message(5, |body| {
                    body.always_varint(2, 1);
                    body.always_string(1, "x");
                    body.always_varint(3, 5);
                });
                record.string(19, "unknown");
            });
        });
    });
    let request = Request::check(SignalKind::Logs, bytes, &Limits::default()).unwrap();
    assert_eq!(
        request.to_json(),
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"k"}],"droppedAttributesCount":1},"scopeLogs":[{"logRecords":[{"severityText":"last","body":{"intValue":"5"}}]}]}]}"#
    );
    let theirs = request.decode::<Logs>().unwrap().unwrap().resource_logs.remove(0);
    assert_eq!(theirs.scope_logs[0].log_records[0].severity_text, "last");
    assert_eq!(theirs.resource.unwrap().dropped_attributes_count, 1);
}

#[test]
fn json_parsing_stops_at_the_message_limit() {
    let limits = Limits { messages: 3, ..Limits::default() };
    let read = |json: &str| {
        let read = Request::from_json(SignalKind::Logs, json.as_bytes(), &limits);
        read.map(|request| request.bytes().len()).map_err(|error| error.to_string())
    };
    assert_eq!(read(r#"{"resourceLogs":[{},{},{}]}"#), Ok(6));
    let too_many = "more than 3 attributes, values and other messages in one request";
    // Text after the fourth is ignored.
    for json in [r#"{"resourceLogs":[{},{},{},{}]}"#, r#"{"resourceLogs":[{},{},{},{},no JSON"#] {
        assert_eq!(read(json), Err(too_many.to_owned()));
    }
}
