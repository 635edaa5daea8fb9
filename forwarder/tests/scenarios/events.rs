//! Event files through the whole pipeline, without a network.

use crate::support::{default_options, fixture, forward, incoming, line_fixture, payload};
use expect_test::expect;
use lambda_otlp_forwarder::SourceLimits;
use wire::Request;

#[test]
fn every_log_event_becomes_items_or_is_consumed() {
    // Each row names a fixture.
    for row in [
        "awslogs-text-mixed: 18 events, 7 consumed: 30 spans, 15 data points, 8 log records, 0 undecodable",
        "awslogs-otlp-only: 4 events, 0 consumed: 530 spans, 0 data points, 0 log records, 0 undecodable",
        "awslogs-large: 1050 events, 0 consumed: 530 spans, 0 data points, 997 log records, 0 undecodable",
        "awslogs-control: 1 events, 1 consumed: 0 spans, 0 data points, 0 log records, 0 undecodable",
        "awslogs-empty: 0 events, 0 consumed: 0 spans, 0 data points, 0 log records, 0 undecodable",
        "awslogs-one-garbage: 1 events, 0 consumed: 0 spans, 0 data points, 1 log records, 1 undecodable",
        "awslogs-empty-requests: 5 events, 4 consumed: 10 spans, 0 data points, 0 log records, 0 undecodable",
        "awslogs-wrapped: 10 events, 0 consumed: 70 spans, 0 data points, 3 log records, 0 undecodable",
        "awslogs-oldclient: 15 events, 0 consumed: 15 spans, 10 data points, 10 log records, 0 undecodable",
        "awslogs-old-metrics-only: 1 events, 0 consumed: 0 spans, 2 data points, 0 log records, 0 undecodable",
        "awslogs-corrupted-mixed: 54 events, 1 consumed: 390 spans, 0 data points, 17 log records, 15 undecodable",
        "awslogs-apigw-access: 2 events, 0 consumed: 0 spans, 0 data points, 2 log records, 0 undecodable",
        "awslogs-bomb64: 2 events, 0 consumed: 10 spans, 0 data points, 1 log records, 1 undecodable",
        "kinesis-cwl: 19 events, 7 consumed: 30 spans, 15 data points, 9 log records, 0 undecodable",
        "kinesis-otlpline: 2 events, 0 consumed: 20 spans, 0 data points, 0 log records, 0 undecodable",
    ] {
        let (name, expected) = row.split_once(": ").unwrap();
        let report = forward(fixture(name), default_options());
        assert!(report.is_complete(), "{name}");
        assert_eq!(crate::support::ledger(&report), expected, "{name}");
    }
}

#[test]
fn chunk_size_does_not_change_spans_and_log_records() {
    for name in ["text-mixed", "large", "corrupted-mixed"] {
        let whole = forward(fixture(&format!("awslogs-{name}")), default_options()).account.total;
        let mut options = default_options();
        options.source = SourceLimits { chunk_bytes: 1, ..options.source };
        let chunks = forward(fixture(&format!("awslogs-{name}")), options).account.total;
        // Only data points differ, because they are aggregated per chunk.
        assert_eq!((whole.events, whole.consumed), (chunks.events, chunks.consumed), "{name}");
        assert_eq!(whole.items.spans, chunks.items.spans, "{name}");
        assert_eq!(whole.items.log_records, chunks.items.log_records, "{name}");
        assert_eq!(whole.items.undecodable, chunks.items.undecodable, "{name}");
        assert_eq!(chunks.lost(), 0, "{name}");
    }
}

#[test]
fn events_of_the_forwarders_log_group_are_dropped_and_counted() {
    let own = || incoming(&payload("/aws/lambda/forwarder", &["a line of the forwarder", "END"]));
    let mut options = default_options();
    options.own_log_groups = vec!["/aws/lambda/forwarder".to_owned()];
    let ledger = forward(own(), options.clone()).account.total;
    assert_eq!((ledger.events, ledger.consumed.total(), ledger.consumed.own_log_group), (2, 2, 2));
    assert_eq!(ledger.items.total(), 0);
    // A log group of the same name in another account is foreign.
    let mut other = payload("/aws/lambda/forwarder", &["a line of another forwarder"]);
    other["owner"] = "999999999999".into();
    assert_eq!(forward(incoming(&other), options).account.total.items.log_records, 1);
}

#[test]
fn events_from_any_forwarder_stack_are_dropped_with_a_warning() {
    for account in ["123456789012", "999999999999"] {
        let mut of = payload("/lambda-otlp/other-stack/forwarder", &["a line of a forwarder"]);
        of["owner"] = account.into();
        let report = forward(incoming(&of), default_options());
        let ledger = report.account.total;
        let consumed = ledger.consumed;
        assert_eq!((consumed.total(), consumed.own_log_group, ledger.items.total()), (1, 1, 0));
        assert_eq!(
            report.warnings,
            [
                "the log group /lambda-otlp/other-stack/forwarder is a forwarder's own: its events are dropped, remove its subscription"
            ]
        );
    }
    let others =
        forward(incoming(&payload("/lambda-otlp-demo/orders", &["hello"])), default_options());
    assert_eq!((others.account.total.items.log_records, others.warnings.len()), (1, 0));
}

#[test]
fn an_undecodable_line_does_not_affect_its_neighbours() {
    let good = line_fixture("python-10");
    let poison =
        r#"{"__otel_otlp_stdout":"1","payload":"AAAA","headers":{"authorization":"s3cret"}}"#;
    let event = payload("/aws/lambda/orders", &[&good, poison, "text", &good]);
    let report = forward(incoming(&event), default_options());
    assert_eq!(report.account.total.items.spans, 20);
    let total = &report.account.total;
    // Without a dead-letter queue nothing is dead-lettered.
    assert_eq!((total.items.undecodable, total.dead_lettered, total.dropped), (1, 0, 1));
    assert_eq!(report.account.total.items.log_records, 2);
    let [(event_id, line)] = report.undecodable.as_slice() else { panic!("{report:?}") };
    assert_eq!(event_id, &format!("{:056}", 1));
    assert!(!line.line.contains("s3cret"));
}

#[test]
fn a_compact_line_is_decoded_with_the_names_of_its_delivery() {
    let names = wire::compact::Names::of_function(
        "orders",
        "eu-west-1",
        "/aws/lambda/orders",
        "2026/09/21/[$LATEST]abc",
    );
    let mut encoder = wire::LineEncoder::compact(names, wire::LineLimits::default());
    let mut request = Vec::new();
    wire::protobuf::Writer::new(&mut request).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |span| {
                span.bytes(1, &[1; 16]);
                span.bytes(2, &[2; 8]);
                span.string(5, "orders in 2026/09/21/[$LATEST]abc, eu-west-1");
            });
        });
    });
    let request = Request::trusted(wire::SignalKind::Traces, request);
    let mut line = Vec::new();
    let written = encoder.encode(&wire::Envelope::default(), request, &mut line);
    assert_eq!(written.lines, 1);
    let line = String::from_utf8(line).unwrap();
    let check = |log_group: &str, spans: usize, undecodable: usize| {
        let report = forward(incoming(&payload(log_group, &[&line, "text"])), default_options());
        let items = report.account.total.items;
        assert_eq!((items.spans, items.undecodable), (spans, undecodable), "{log_group}");
        assert!(report.account.balances());
        let reasons: Vec<_> =
            report.undecodable.iter().map(|(_, line)| line.reason.to_string()).collect();
        let expected = "the compact line was written with another function or log stream";
        assert!(reasons.iter().all(|reason| reason == expected), "{reasons:?}");
        assert_eq!(reasons.len(), undecodable);
    };
    check("/aws/lambda/orders", 1, 0);
    check("/aws/lambda/payments", 0, 1);
}

fn pieces(file: &str, size: usize) -> Vec<String> {
    let line = line_fixture(file);
    let chunks = line.as_bytes().chunks(size);
    chunks.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
}

/// Forwards messages in batches of all sizes, which all give the same ledger.
fn ledger(messages: &[&str]) -> String {
    let mut ledgers = [1, 12_000, usize::MAX].map(|chunk_bytes| {
        let mut options = default_options();
        options.source = SourceLimits { chunk_bytes, ..options.source };
        let report = forward(incoming(&payload("/aws/lambda/orders", messages)), options);
        assert!(report.is_complete());
        let (ledger, items) = (report.account.total, report.account.total.items);
        assert_eq!(report.undecodable.len(), items.undecodable);
        let ids: Vec<_> =
            report.undecodable.iter().map(|(id, _)| id.trim_start_matches('0')).collect();
        format!(
            "{} events, {} consumed: {} spans, {} log records, undecodable: {ids:?}",
            ledger.events,
            ledger.consumed.total(),
            items.spans,
            items.log_records
        )
    });
    ledgers.as_mut_slice().sort();
    let [first, .., last] = &ledgers;
    assert_eq!(first, last);
    first.clone()
}

#[test]
fn a_split_otlp_line_is_joined_and_its_other_pieces_consumed() {
    // Cut like CloudWatch does.
    let big = pieces("big-line", 262_144);
    let [first, second] = big.as_slice() else { panic!() };
    let expected = "2 events, 1 consumed: 10 spans, 0 log records, undecodable: []";
    assert_eq!(ledger(&[first, second]), expected);
    let small = pieces("python-500", 1024);
    let small: Vec<_> = small.iter().map(String::as_str).collect();
    let expected = "19 events, 18 consumed: 500 spans, 0 log records, undecodable: []";
    assert_eq!(ledger(&small), expected);

    let halves = pieces("python-500", 10_000);
    let [first, second] = halves.as_slice() else { panic!() };
    let ledgers = [
        ledger(&["before", first, second, "behind"]),
        ledger(&[first, second, first, second]),
        ledger(&[first, &format!("{second} text behind")]),
    ];
    expect![[r"
        4 events, 1 consumed: 500 spans, 2 log records, undecodable: []
        4 events, 2 consumed: 1000 spans, 0 log records, undecodable: []
        2 events, 1 consumed: 500 spans, 1 log records, undecodable: []"]]
    .assert_eq(&ledgers.join("\n"));
}

#[test]
fn pieces_that_do_not_match_become_separate_log_records() {
    let halves = pieces("python-500", 10_000);
    let [first, second] = halves.as_slice() else { panic!() };
    let end = "END RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    let ledgers = [
        ledger(&["a", first]),
        ledger(&["a", first, second.trim_end_matches('}')]),
        ledger(&["a", first, "REPORT RequestId: 1\tDuration: 1 ms\t", second]),
        ledger(&["a", first, end, second, "b"]),
        ledger(&["a", first, first, second]),
        ledger(&["a", second, first]),
    ];
    expect![[r#"
        2 events, 0 consumed: 0 spans, 2 log records, undecodable: ["1"]
        3 events, 0 consumed: 0 spans, 3 log records, undecodable: ["1"]
        4 events, 0 consumed: 0 spans, 4 log records, undecodable: ["1"]
        5 events, 1 consumed: 0 spans, 4 log records, undecodable: ["1"]
        4 events, 1 consumed: 500 spans, 2 log records, undecodable: ["1"]
        3 events, 0 consumed: 0 spans, 3 log records, undecodable: ["2"]"#]]
    .assert_eq(&ledgers.join("\n"));
}
