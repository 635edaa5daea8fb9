//! Small lines that inflate to very much.

use crate::not_taken::Stack;
use crate::support::{
    Backend, body, default_options, deliver, deliver_event, gzip_base64, incoming, kinesis_event,
    line_of, payload, takes,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use wire::Request;

/// A line with this number of log records, each with a body of this size.
pub(crate) fn line_of_records(records: usize, body_bytes: usize) -> String {
    let text = AnyValue { value: Some(Value::StringValue("x".repeat(body_bytes))) };
    let record = match body_bytes {
        0 => LogRecord::default(),
        _ => LogRecord {
            time_unix_nano: 1_790_000_000_000_000_000,
            body: Some(text),
            ..LogRecord::default()
        },
    };
    line_of(Request::of_log_records(None, vec![record; records]).bytes(), "logs")
}

/// A line with one record that has so many numbers, each of which gets a further column.
pub(crate) fn line_of_attributes(attributes: usize) -> String {
    let attribute = |number: usize| KeyValue {
        key: format!("k{number}"),
        value: Some(AnyValue { value: Some(Value::IntValue(5)) }),
        ..KeyValue::default()
    };
    let attributes = (0..attributes).map(attribute).collect();
    let record = LogRecord { attributes, ..LogRecord::default() };
    line_of(Request::of_log_records(None, vec![record]).bytes(), "logs")
}

#[test]
fn a_deeply_nested_line_of_x_ray_stays_a_log_record() {
    let nested = "[".repeat(100_000);
    let delivered = deliver_event(incoming(&payload("aws/spans", &[&nested])), default_options());
    assert_eq!(delivered.records().count(), 1);
}

#[test]
fn inflated_lines_of_one_event_share_a_size_limit() {
    // 15 MB each, in 20 kB.
    let line = line_of_records(1, 15_000_000);
    assert!(line.len() < 25_000, "{}", line.len());
    let lines: Vec<&str> = std::iter::repeat_n(line.as_str(), 25).chain(["hello"]).collect();
    let delivered = deliver(&lines);
    let items = delivered.report.ledgers.total.items;
    assert_eq!((items.log_records, items.undecodable), (17 + 8 + 1, 8));
    assert!(delivered.records().any(|record| body(record) == "hello"));
    assert!(delivered.report.is_complete());
}

/// Each one counts toward what undecodable lines of an event may inflate to, also if it is joined from pieces.
#[test]
fn undecodable_lines_share_the_inflation_limit() {
    let small = line_of_records(1, 1_000_000);
    let broken = line_of(&vec![0xff; 2_000_000], "logs");
    let (first, last) = broken.split_at(1_200);
    for pieces in [&[broken.as_str()][..], &[first, last]] {
        for (lines, undecodable) in [(7, 7), (9, 9 + 1)] {
            let events = pieces.repeat(lines).into_iter().chain([small.as_str()]);
            let delivered = deliver(&events.collect::<Vec<_>>());
            assert_eq!(delivered.report.ledgers.total.items.undecodable, undecodable, "{lines}");
        }
    }
}

#[test]
fn otlp_lines_of_one_event_share_an_item_limit() {
    let line = line_of_records(40_000, 20);
    let lines: Vec<&str> = std::iter::repeat_n(line.as_str(), 20).chain(["hello"]).collect();
    let delivered = deliver(&lines);
    let items = delivered.report.ledgers.total.items;
    // Six of them fit into 250,000 items. Each other line becomes one record with the reason.
    assert_eq!((items.log_records, items.undecodable), (6 * 40_000 + 14 + 1, 14));
    assert!(delivered.records().any(|record| body(record) == "hello"));
    let reason = "40000 items in one request, but the limit leaves room for 10000";
    let said = delivered.report.undecodable[0].line.reason.to_string();
    assert!(said.ends_with(reason), "{said}");
    assert!(delivered.report.is_complete());
}

#[test]
fn json_lines_beyond_a_limit_stay_one_record() {
    let long = "{}\n".repeat(85_000);
    let delivered = deliver(&[&long, "{\"a\":1}\n{\"a\":2}\n", "hello"]);
    let bodies: Vec<_> = delivered.records().map(body).collect();
    assert!(bodies.contains(&long.trim_end()) && bodies.contains(&"hello"));
    let ledger = delivered.report.ledger();
    assert_eq!((ledger.items.log_records, ledger.undivided), (1 + 2 + 1, 1));
    assert!(delivered.report.is_complete());
}

/// Log events with ids of 2 kB, which each record repeats.
#[test]
fn json_lines_of_one_event_share_a_limit() {
    const LINES: usize = 1_700;
    let message = "{}\n".repeat(LINES);
    let mut payload = payload("/aws/lambda/orders", &[message.as_str(); 19]);
    for event in payload["logEvents"].as_array_mut().unwrap() {
        event["id"] = "1".repeat(2_000).into();
    }
    let delivered = deliver_event(incoming(&payload), default_options());
    let ledger = delivered.report.ledger();
    // 3.8 MB each.
    assert_eq!((ledger.items.log_records, ledger.undivided), (17 * LINES + 2, 2));
    assert!(delivered.report.is_complete());
}

#[test]
fn a_message_beyond_the_limit_is_cut() {
    let head = r#"{"owner":"1","logGroup":"/aws/lambda/orders","logStream":"s","logEvents":"#;
    let hello = r#"{"id":"2","timestamp":1790000000000,"message":"hello"}"#;
    for megabytes in [5, 9] {
        let text = "x".repeat(megabytes * 1_000_000);
        let long = format!(r#"{{"id":"1","timestamp":1790000000000,"message":"{text}"}}"#);
        let delivery = format!("{head}[{long},{hello}]}}");
        let event = kinesis_event([gzip_base64(&delivery)]);
        let delivered = deliver_event(event, default_options());
        let bodies: Vec<_> = delivered.records().map(body).collect();
        let [cut, "hello"] = bodies.as_slice() else { panic!("{} records", bodies.len()) };
        let mark = " … (cut: the log event is longer than the forwarder reads)";
        assert_eq!(cut.strip_suffix(mark).map(str::len), Some(4 << 20), "{megabytes} MB");
        assert_eq!(delivered.report.ledger().cut, 1);
        assert!(delivered.report.is_complete());
    }
}

#[test]
fn many_undecodable_lines_of_a_log_event_share_a_record_without_their_text() {
    let line = r#"{"__otel_otlp_stdout":"1","payload":"s3cret"} "#;
    let shown = format!("{:?}", deliver(&[&line.repeat(150)]).logs);
    assert!(shown.contains("50 more lines of the log event, the first of them: "), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

/// Fifty thousand undecodable OTLP lines, and one log event with twenty thousand of them. A few dead letters contain all of them.
#[tokio::test(start_paused = true)]
async fn many_undecodable_lines_fit_into_few_dead_letters() {
    let lines: Vec<String> =
        (0..50_000).map(|n| format!(r#"{{"__otel_otlp_stdout":"1","payload":"{n}"}}"#)).collect();
    let object = r#"{"__otel_otlp_stdout":"1","payload":"x"} "#;
    let event = object.repeat(20_000);
    let cases = [
        (50_000, lines.iter().map(String::as_str).collect::<Vec<_>>()),
        (20_000, vec![event.as_str()]),
    ];
    for (expected, lines) in cases {
        let stack = Stack::new(Backend(takes));
        let lines: Vec<&str> = lines.into_iter().chain(["hello"]).collect();
        let report = stack.forward(incoming(&payload("/aws/lambda/orders", &lines))).await;
        let ledger = report.ledger();
        assert_eq!(
            (ledger.items.undecodable, ledger.dead_lettered, ledger.returned),
            (expected, expected, 0)
        );
        assert!(report.is_complete());
        let letters = stack.dead_letters();
        assert!(letters.len() <= 10, "{} messages", letters.len());
        assert_eq!(letters.iter().map(|letter| letter.items).sum::<usize>(), expected);
        for letter in &letters {
            let said = format!("{} undecodable OTLP lines", letter.items);
            assert!(letter.reason.starts_with(&said), "{}", letter.reason);
        }
    }
}
