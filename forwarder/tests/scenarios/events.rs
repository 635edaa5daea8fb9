//! Event files through the whole pipeline, without a network.

use crate::support::{default_options, deliver_event, fixture, incoming, payload};
use lambda_otlp_forwarder::Items;

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
        let report = deliver_event(fixture(name), default_options()).report;
        assert!(report.is_complete(), "{name}");
        let ledger = report.ledger();
        let Items { spans, data_points, log_records, undecodable, executions: _ } = ledger.items;
        let found = format!(
            "{} events, {} consumed: {spans} spans, {data_points} data points, {log_records} log records, {undecodable} undecodable",
            ledger.events,
            ledger.consumed.total()
        );
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn events_of_forwarders_are_dropped_and_counted() {
    let warning = |log_group: &str| {
        format!(
            "the log group {log_group} is a forwarder's own, or its destination writes it: its events are dropped, remove its subscription"
        )
    };
    let check = |account: &str, log_group: &str, is_own: bool| {
        let mut options = default_options();
        options.own_log_groups.push("/aws/lambda/forwarder".to_owned());
        let mut event = payload(log_group, &["a line", "END"]);
        event["owner"] = account.into();
        let report = deliver_event(incoming(&event), options).report;
        let ledger = report.ledgers.total;
        assert_eq!(ledger.consumed.own_log_group, if is_own { 2 } else { 0 }, "{log_group}");
        assert_eq!(ledger.items.log_records, 2 - ledger.consumed.total(), "{log_group}");
        let warnings: Vec<_> = is_own.then(|| warning(log_group)).into_iter().collect();
        assert_eq!(report.warnings, warnings);
    };
    check("123456789012", "/aws/lambda/forwarder", true);
    // A log group of the same name in another account is foreign.
    check("999999999999", "/aws/lambda/forwarder", false);
    // Those of any stack of the template.
    check("123456789012", "/lambda-otlp/other-stack/forwarder", true);
    check("999999999999", "/lambda-otlp/other-stack/forwarder", true);
    check("123456789012", "/lambda-otlp-demo/orders", false);
}
