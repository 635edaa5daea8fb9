//! Event files through the whole pipeline but the network: what each log event becomes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use base64::Engine as _;
use expect_test::{Expect, expect};
use lambda_otlp_forwarder::config::Config;
use lambda_otlp_forwarder::deliver::DryRun;
use lambda_otlp_forwarder::forward::{Forwarder, Invocation, Options, Report};
use lambda_otlp_forwarder::options;
use lambda_otlp_forwarder::source::{Incoming, SourceLimits};
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

fn default_options() -> Options {
    let variables = HashMap::from([(
        "LAMBDA_OTLP_ENDPOINT".to_owned(),
        "http://127.0.0.1:9/api/default".to_owned(),
    )]);
    options(&Config::from_source(&variables).0.unwrap())
}

fn incoming(payload: &serde_json::Value) -> Incoming {
    let gzip = wire::gzip::compress(6, payload.to_string().as_bytes());
    let data = base64::engine::general_purpose::STANDARD.encode(gzip);
    serde_json::from_value(json!({"awslogs": {"data": data}})).unwrap()
}

fn payload(log_group: &str, messages: &[&str]) -> serde_json::Value {
    let events: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(n, message)| json!({"id": format!("{n:056}"), "timestamp": 1_790_000_000_000_u64 + n as u64, "message": message}))
        .collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": log_group,
        "logStream": "2026/09/21/[$LATEST]abc", "subscriptionFilters": ["f"], "logEvents": events})
}

fn forward(incoming: Incoming, options: Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let invocation = Invocation {
            observed_unix_nano: 1_790_000_000_000_000_000,
            deadline: Instant::now() + Duration::from_secs(10),
            account: Some("123456789012".to_owned()),
        };
        Forwarder::new(DryRun, options).forward(incoming, &invocation).await
    })
}

fn fixture(name: &str) -> Incoming {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/events")
        .join(format!("awslogs-{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[track_caller]
fn check(name: &str, expected: &Expect) {
    let report = forward(fixture(name), default_options());
    assert!(report.is_complete());
    let ledger = report.ledger;
    let items = ledger.items;
    expected.assert_eq(&format!(
        "{} events, {} consumed: {} spans, {} data points, {} log records, {} undecodable",
        ledger.events,
        ledger.consumed,
        items.spans,
        items.data_points,
        items.log_records,
        items.undecodable
    ));
}

#[test]
fn every_log_event_becomes_items_or_is_consumed() {
    check(
        "text-mixed",
        &expect!["18 events, 7 consumed: 30 spans, 15 data points, 8 log records, 0 undecodable"],
    );
    check(
        "otlp-only",
        &expect!["4 events, 0 consumed: 530 spans, 0 data points, 0 log records, 0 undecodable"],
    );
    check(
        "large",
        &expect![
            "1050 events, 0 consumed: 530 spans, 0 data points, 997 log records, 0 undecodable"
        ],
    );
    check(
        "control",
        &expect!["1 events, 1 consumed: 0 spans, 0 data points, 0 log records, 0 undecodable"],
    );
    check(
        "empty",
        &expect!["0 events, 0 consumed: 0 spans, 0 data points, 0 log records, 0 undecodable"],
    );
    check(
        "one-garbage",
        &expect!["1 events, 0 consumed: 0 spans, 0 data points, 1 log records, 1 undecodable"],
    );
    check(
        "empty-requests",
        &expect!["5 events, 4 consumed: 10 spans, 0 data points, 0 log records, 0 undecodable"],
    );
    check(
        "apigw-access",
        &expect!["2 events, 0 consumed: 0 spans, 0 data points, 2 log records, 0 undecodable"],
    );
    check(
        "bomb64",
        &expect!["2 events, 0 consumed: 10 spans, 0 data points, 1 log records, 1 undecodable"],
    );
}

#[test]
fn small_chunks_change_nothing() {
    for name in ["text-mixed", "large", "corrupted-mixed"] {
        let whole = forward(fixture(name), default_options()).ledger;
        let mut options = default_options();
        options.source = SourceLimits { chunk_bytes: 1, ..options.source };
        let chunks = forward(fixture(name), options).ledger;
        // Data points are aggregated per chunk, all else is the same.
        assert_eq!((whole.events, whole.consumed), (chunks.events, chunks.consumed), "{name}");
        assert_eq!(whole.items.spans, chunks.items.spans, "{name}");
        assert_eq!(whole.items.log_records, chunks.items.log_records, "{name}");
        assert_eq!(whole.items.undecodable, chunks.items.undecodable, "{name}");
        assert_eq!(chunks.lost(), 0, "{name}");
    }
}

#[test]
fn events_of_the_own_log_group_are_dropped_and_counted() {
    let own = || incoming(&payload("/aws/lambda/forwarder", &["a line of the forwarder", "END"]));
    let mut options = default_options();
    options.own_log_group = Some("/aws/lambda/forwarder".to_owned());
    let ledger = forward(own(), options.clone()).ledger;
    assert_eq!((ledger.events, ledger.consumed, ledger.own_log_group), (2, 2, 2));
    assert_eq!(ledger.items.total(), 0);
    // The group of that name in another account is somebody else's.
    let mut other = payload("/aws/lambda/forwarder", &["a line of another forwarder"]);
    other["owner"] = "999999999999".into();
    assert_eq!(forward(incoming(&other), options).ledger.items.log_records, 1);
}

#[test]
fn a_poisoned_line_does_not_touch_its_neighbours() {
    let good = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/lines/python-10.jsonl"),
    )
    .unwrap();
    let poison =
        r#"{"__otel_otlp_stdout":"1","payload":"AAAA","headers":{"authorization":"s3cret"}}"#;
    let event = payload("/aws/lambda/orders", &[&good, poison, "text", &good]);
    let report = forward(incoming(&event), default_options());
    assert_eq!(report.ledger.items.spans, 20);
    assert_eq!((report.ledger.items.undecodable, report.ledger.dead_lettered), (1, 1));
    assert_eq!(report.ledger.items.log_records, 2);
    let [(event_id, line)] = report.undecodable.as_slice() else { panic!("{report:?}") };
    assert_eq!(event_id, &format!("{:056}", 1));
    assert!(!line.line.contains("s3cret"));
}

#[test]
fn text_around_a_line_is_kept() {
    let good = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/lines/rust-1.jsonl"),
    )
    .unwrap();
    let both = format!("text before{}text behind", good.trim_end());
    let ledger =
        forward(incoming(&payload("/aws/lambda/orders", &[&both])), default_options()).ledger;
    assert_eq!((ledger.items.spans, ledger.items.log_records), (1, 1));
}
