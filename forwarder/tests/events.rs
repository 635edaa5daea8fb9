//! Event files through the whole pipeline but the network: what each log event becomes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use base64::Engine as _;
use expect_test::{Expect, expect};
use lambda_otlp_forwarder::config::Config;
use lambda_otlp_forwarder::deliver::DryRun;
use lambda_otlp_forwarder::forward::{Forwarder, Invocation, Options, Report};
use lambda_otlp_forwarder::options;
use lambda_otlp_forwarder::source::{Event, SourceLimits};
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

fn incoming(payload: &serde_json::Value) -> Event {
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

fn forward(incoming: Event, options: Options) -> Report {
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

fn fixture(name: &str) -> Event {
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
        "wrapped",
        &expect!["10 events, 0 consumed: 70 spans, 0 data points, 3 log records, 0 undecodable"],
    );
    check(
        "oldclient",
        &expect!["15 events, 0 consumed: 15 spans, 10 data points, 10 log records, 0 undecodable"],
    );
    check(
        "old-metrics-only",
        &expect!["1 events, 0 consumed: 0 spans, 2 data points, 0 log records, 0 undecodable"],
    );
    check(
        "corrupted-mixed",
        &expect!["54 events, 1 consumed: 380 spans, 0 data points, 18 log records, 16 undecodable"],
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

/// A line in pieces of `size` bytes.
fn pieces(file: &str, size: usize) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/lines").join(file);
    let line = std::fs::read_to_string(path).unwrap();
    let chunks = line.trim_end().as_bytes().chunks(size);
    chunks.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
}

/// Forwards messages in batches of all sizes; the ledger is the same for all.
fn ledger(messages: &[&str]) -> String {
    let mut ledgers = [1, 12_000, usize::MAX].map(|chunk_bytes| {
        let mut options = default_options();
        options.source = SourceLimits { chunk_bytes, ..options.source };
        let report = forward(incoming(&payload("/aws/lambda/orders", messages)), options);
        assert!(report.is_complete());
        let (ledger, items) = (report.ledger, report.ledger.items);
        assert_eq!(report.undecodable.len(), items.undecodable);
        let ids: Vec<_> =
            report.undecodable.iter().map(|(id, _)| id.trim_start_matches('0')).collect();
        format!(
            "{} events, {} consumed: {} spans, {} log records, undecodable: {ids:?}",
            ledger.events, ledger.consumed, items.spans, items.log_records
        )
    });
    ledgers.as_mut_slice().sort();
    let [first, .., last] = &ledgers;
    assert_eq!(first, last);
    first.clone()
}

#[test]
fn a_line_in_pieces_is_joined_and_its_first_event_stands_for_it() {
    let check = |messages: &[&str], expected: Expect| expected.assert_eq(&ledger(messages));
    // As CloudWatch cut it.
    let big = pieces("big-line.jsonl", 262_144);
    let [first, second] = big.as_slice() else { panic!() };
    check(
        &[first, second],
        expect!["2 events, 1 consumed: 10 spans, 0 log records, undecodable: []"],
    );
    let halves = pieces("python-500.jsonl", 10_000);
    let [first, second] = halves.as_slice() else { panic!() };
    check(
        &["before", first, second, "behind"],
        expect!["4 events, 1 consumed: 500 spans, 2 log records, undecodable: []"],
    );
    check(
        &[first, second, first, second],
        expect!["4 events, 2 consumed: 1000 spans, 0 log records, undecodable: []"],
    );
    let small = pieces("python-500.jsonl", 1024);
    let small: Vec<_> = small.iter().map(String::as_str).collect();
    check(&small, expect!["19 events, 18 consumed: 500 spans, 0 log records, undecodable: []"]);
    let behind = format!("{second} text behind");
    check(
        &[first, &behind],
        expect!["2 events, 1 consumed: 500 spans, 1 log records, undecodable: []"],
    );
}

#[test]
fn pieces_that_do_not_fit_are_kept_one_by_one() {
    let check = |messages: &[&str], expected: Expect| expected.assert_eq(&ledger(messages));
    let halves = pieces("python-500.jsonl", 10_000);
    let [first, second] = halves.as_slice() else { panic!() };
    let end = "END RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    check(
        &["a", first],
        expect![[r#"2 events, 0 consumed: 0 spans, 2 log records, undecodable: ["1"]"#]],
    );
    check(
        &["a", first, second.trim_end_matches('}')],
        expect![[r#"3 events, 0 consumed: 0 spans, 3 log records, undecodable: ["1"]"#]],
    );
    check(
        &["a", first, "REPORT RequestId: 1\tDuration: 1 ms\t", second],
        expect![[r#"4 events, 0 consumed: 0 spans, 4 log records, undecodable: ["1"]"#]],
    );
    check(
        &["a", first, end, second, "b"],
        expect![[r#"5 events, 1 consumed: 0 spans, 4 log records, undecodable: ["1"]"#]],
    );
    check(
        &["a", first, first, second],
        expect![[r#"4 events, 1 consumed: 500 spans, 2 log records, undecodable: ["1"]"#]],
    );
    check(
        &["a", second, first],
        expect![[r#"3 events, 0 consumed: 0 spans, 3 log records, undecodable: ["2"]"#]],
    );
}
