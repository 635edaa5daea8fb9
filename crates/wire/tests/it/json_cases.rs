//! OTLP/JSON: a table of accepted and refused spellings, and the limits of its reader.

use crate::check_table;
use expect_test::expect_file;
use lambda_otlp_wire::{JsonError, Limits, Logs, Malformed, Request, SignalKind};

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
        let open = r#"{"arrayValue":{"values":["#.repeat(levels);
        let close = "]}}".repeat(levels);
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
    // A request keeps no container without items.
    assert_eq!(read(r#"{"resourceLogs":[{},{},{}]}"#), Ok(0));
    let too_many = "more than 3 attributes, values and other messages in one request";
    // Text after the fourth is ignored.
    for json in [r#"{"resourceLogs":[{},{},{},{}]}"#, r#"{"resourceLogs":[{},{},{},{},no JSON"#] {
        assert_eq!(read(json), Err(too_many.to_owned()));
    }
}
