//! An attacker tries to remove records through a part of their text or a neighbouring line.

use super::forwarded;
use crate::support::{body, default_options, line_of};
use wire::protobuf::Writer;

const REQUEST: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";

/// Checks that each line becomes a complete log record.
#[track_caller]
fn all_stay(messages: &[&str]) {
    let (report, records, spans) = forwarded(messages, default_options());
    assert_eq!((report.ledger().lost(), spans), (0, 0));
    assert_eq!(records.len(), messages.len(), "{messages:?}: {records:?}");
}

#[test]
fn a_json_record_with_one_otlp_key_stays_a_log_record() {
    for chosen in [
        r#""__otel_otlp_stdout":"otlp-stdout-adapter@1""#,
        r#""resourceSpans":[]"#,
        r#""resourceSpans":[{"resource":{},"scopeSpans":[]}]"#,
        r#""_otel":"x","payload":{}"#,
        r#""__otel_otlp_stdout":"x","payload":{}"#,
    ] {
        let record = format!(
            r#"{{"time":"2026-11-21T08:00:00Z","level":"WARN","message":"login failed","ip":"1.2.3.4","user":"eve",{chosen}}}"#
        );
        all_stay(&["before", &record, "after"]);
        let record =
            format!(r#"{{"event":"login_failed","level":"WARN","ip":"1.2.3.4",{chosen}}}"#);
        all_stay(&["before", &record, "after"]);
    }
}

#[test]
fn a_json_record_with_two_message_keys_is_kept() {
    let line = r#"{\"__otel_otlp_stdout\":\"otlp-stdout-adapter@1\"}"#;
    let record = format!(r#"{{"level":"ERROR","message":"payment lost","message":"{line}"}}"#);
    let (report, records, _) = forwarded(&[&record], default_options());
    assert_eq!((report.ledger().lost(), records.len()), (0, 1));
    assert_eq!(body(&records[0]), "payment lost");
}

#[test]
fn platform_lines_with_extra_text_become_log_records() {
    for text in [
        format!("START RequestId: {REQUEST} Version: 1 deleted account 17 (audit)"),
        format!("END RequestId: {REQUEST} Version: x tried to log in 40 times"),
        "INIT_START Runtime Version: x user eve changed the password".to_owned(),
        format!("START RequestId: {REQUEST}\n Version: 1\nmore"),
        r#"{"time":"2026-11-21T08:00:00Z","level":"WARN","message":"login failed","type":"platform.start","record":{}}"#.to_owned(),
    ] {
        let (report, records, _) = forwarded(&[&text], default_options());
        assert_eq!(report.ledger().lost(), 0);
        assert_eq!(records.iter().map(body).collect::<Vec<_>>(), [text.trim_end()], "{text}");
    }
}

#[test]
fn an_oversized_logs_line_is_not_read_as_metrics() {
    // Read as metrics, it would have no items, and the records would disappear.
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for number in 0..60_000_u64 {
                scope.message(2, |record| {
                    record.message(6, |attribute| {
                        attribute.string(1, &format!("key.of.a.record.{}", number % 10));
                    });
                });
            }
        });
    });
    let (report, records, _) = forwarded(&[&line_of(&bytes, "logs")], default_options());
    assert_eq!(report.account.total.items.undecodable, 1, "{:?}", report.account);
    assert_eq!((report.ledger().lost(), records.len()), (0, 1), "the record that says so");
    let reason = report.undecodable[0].1.reason.to_string();
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
        let (report, records, _) =
            forwarded(&["before", &first, ordinary, last, "after"], default_options());
        assert_eq!(report.ledger().lost(), 0);
        let found = records.iter().filter(|record| body(record).contains("payment failed"));
        assert_eq!(found.count(), 1, "{} bytes", first.len());
    }
    let payload = format!(r#"{{"__otel_otlp_stdout":"1","payload":"{}"#, "A".repeat(1_284));
    let ordinary = "A0b1C2d3".repeat(200);
    let (_, records, _) = forwarded(&["before", &payload, &ordinary, "AAAA\"}"], default_options());
    assert!(records.iter().any(|record| body(record) == ordinary));
}
