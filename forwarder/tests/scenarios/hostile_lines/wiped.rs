//! An attacker tries to remove records through a part of their text or a neighbouring line.

use crate::support::{body, deliver, line_of};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use wire::Request;

#[test]
fn an_oversized_logs_line_is_not_read_as_metrics() {
    // Read as metrics, it would have no items, and the records would disappear.
    let record = |number: usize| LogRecord {
        attributes: vec![KeyValue {
            key: format!("key.of.a.record.{}", number % 10),
            ..KeyValue::default()
        }],
        ..LogRecord::default()
    };
    let request = Request::of_log_records(None, (0..60_000).map(record).collect());
    let delivered = deliver(&[&line_of(request.bytes(), "logs")]);
    let report = &delivered.report;
    assert_eq!(report.ledgers.total.items.undecodable, 1, "{:?}", report.ledgers);
    assert_eq!(delivered.records().count(), 1, "the record that says so");
    let reason = report.undecodable[0].line.reason.to_string();
    assert!(reason.contains("60000 items"), "{reason}");
}

#[test]
fn an_ordinary_line_is_not_joined_with_hostile_pieces() {
    let span = r#"{"resource":{},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"n","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}"#;
    let record = format!(
        r#"{{"level":"ERROR","message":"payment failed","items":["{}"]}}"#,
        "x".repeat(116_000)
    );
    let text = format!("ERROR payment failed {}", "x y ".repeat(17_000));
    for (first, ordinary, last) in [
        (
            format!(r#"{{"resourceSpans":[{span}],"pad":"{}","x":["#, "a".repeat(66_000)),
            &record,
            "]}",
        ),
        (format!(r#"{{"resourceSpans":[{span}],"x":"{}"#, "a".repeat(66_000)), &text, "\"}"),
        // Long enough that Lambda cuts it.
        (
            format!(r#"{{"resourceSpans":[{span}],"x":"{:a<1$}"#, "", 65_536 - span.len() - 25),
            &text,
            "\"}",
        ),
    ] {
        let delivered = deliver(&["before", &first, ordinary, last, "after"]);
        let found = delivered.records().filter(|record| body(record).contains("payment failed"));
        assert_eq!(found.count(), 1, "{} bytes", first.len());
    }
    let payload = format!(r#"{{"__otel_otlp_stdout":"1","payload":"{}"#, "A".repeat(1_284));
    let ordinary = "A0b1C2d3".repeat(200);
    let delivered = deliver(&["before", &payload, &ordinary, "AAAA\"}"]);
    assert!(delivered.records().any(|record| body(record) == ordinary));
}

/// The pieces of a line that Lambda cut become records of their own if its end is missing.
#[test]
fn headers_in_a_piece_of_a_cut_line_do_not_show() {
    let begin = r#"{"__otel_otlp_stdout":"1","payload":""#;
    let first = format!("{begin}{}", "A".repeat(65_536 - begin.len()));
    let headers = r#"AAAA","headers":{"authorization":"s3cret"},"x":""#;
    let second = format!("{headers}{}", "x".repeat(65_536 - headers.len()));
    for lines in [&[first.as_str(), &second, "ordinary text"][..], &[&first, &second]] {
        let delivered = deliver(lines);
        assert_eq!(delivered.records().count(), lines.len());
        assert!(!delivered.records().any(|record| body(record).contains("s3cret")));
    }
}
