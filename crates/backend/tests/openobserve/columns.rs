//! Requests with more columns than OpenObserve accepts.

use crate::support::{
    attribute, destination, export, log_record, logs, metric, metrics, numbers, point, span, spans,
    started, stored, summary,
};
use lambda_otlp_backend::{Client, DestinationConfig, Fate};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, NumberDataPoint, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use simulator::sink::Sink;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn only_the_bad_item_of_64_is_dead_lettered() {
    // More columns than the stream may have: logs answer 200 `0a 00`, traces 400.
    let many = (0..200).map(|index| attribute(&format!("key{index}"))).collect::<Vec<_>>();
    let sink = started(Sink::builder().max_columns(100)).await;
    let record = |number| match number {
        37 => LogRecord { attributes: many.clone(), ..log_record(number) },
        _ => log_record(number),
    };
    let outcome = export(&destination(sink.base()), logs((0..64).map(record).collect())).await;
    assert_eq!((outcome.accepted, outcome.parts.len()), (63, 1));
    assert_eq!(
        (outcome.parts[0].fate, numbers(&outcome.parts[0].request)),
        (Fate::DeadLetter, vec![37])
    );
    assert_eq!(
        stored(&sink),
        (0..64).filter(|number| *number != 37).map(|number| (number, 1)).collect()
    );

    let bad = Span { attributes: many.clone(), ..span() };
    let mut all = vec![span(); 63];
    all.insert(37, bad.clone());
    let outcome = export(&destination(sink.base()), spans(all)).await;
    assert_eq!((outcome.accepted, outcome.parts.len()), (63, 1));
    assert_eq!(
        (outcome.parts[0].fate, &outcome.parts[0].request),
        (Fate::DeadLetter, &spans(vec![bad]))
    );
}

/// Keys that no other item has.
fn own_keys(item: usize, keys: usize) -> Vec<KeyValue> {
    (0..keys).map(|key| attribute(&format!("key{item}.{key}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_column_limit_is_split_before_sending() {
    let sink = started(Sink::builder()).await;
    let item = |item| Span { attributes: own_keys(item, 100), ..span() };
    let traces = spans((0..60).map(item).collect());
    let item = |item| LogRecord { attributes: own_keys(item, 100), ..log_record(item) };
    let logs = logs((0..60).map(item).collect());
    let item = |item| NumberDataPoint { attributes: own_keys(item, 100), ..point(1.0, &[]) };
    let gauge = Gauge { data_points: (0..60).map(item).collect() };
    let metrics = metrics(vec![metric("queue", Data::Gauge(gauge))]);
    for request in [traces, logs, metrics] {
        let outcome = export(&destination(sink.base()), request).await;
        assert_eq!(summary(&outcome), "60 accepted, 0 ambiguous");
        assert_eq!(outcome.requests_sent, 8, "eight items fit into one request");
    }
    assert_eq!(stored(&sink), (0..60).map(|number| (number, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn splitting_continues_for_a_server_with_a_lower_column_limit() {
    let sink = started(Sink::builder().max_columns(100)).await;
    let item = |item| Span { attributes: own_keys(item, 40), ..span() };
    let outcome = export(&destination(sink.base()), spans((0..12).map(item).collect())).await;
    assert_eq!(summary(&outcome), "12 accepted, 0 ambiguous");
    let item = |item| LogRecord { attributes: own_keys(item, 40), ..log_record(item) };
    let outcome = export(&destination(sink.base()), logs((0..12).map(item).collect())).await;
    assert_eq!(summary(&outcome), "12 accepted, 12 ambiguous");
}

/// OpenObserve Cloud accepts 200 columns and says so for traces. Later requests keep to that limit.
#[tokio::test(start_paused = true)]
async fn a_column_limit_in_a_response_binds_later_requests() {
    let sink = started(Sink::builder().max_columns(200)).await;
    let traces = || {
        let item = |item| Span { attributes: own_keys(item, 40), ..span() };
        spans((0..12).map(item).collect())
    };
    let client = Client::new(&destination(sink.base())).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let first = client.export(None, traces(), deadline).await;
    assert_eq!(summary(&first), "12 accepted, 0 ambiguous");
    assert_eq!(first.requests_sent, 1 + 3, "refused once, then four items a request");
    let second = client.clone().export(None, traces(), deadline).await;
    assert_eq!((second.accepted, second.requests_sent), (12, 3), "remembered");
    let item = |item| LogRecord { attributes: own_keys(item, 40), ..log_record(item) };
    let logs = client.export(None, logs((0..12).map(item).collect()), deadline).await;
    assert_eq!((logs.accepted, logs.requests_sent), (12, 3), "for the other signals too");
    assert_eq!(stored(&sink), (0..12).map(|number| (number, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn a_configured_column_limit_applies_from_the_first_request() {
    let sink = started(Sink::builder().max_columns(200)).await;
    let config = DestinationConfig { max_columns: 200, ..destination(sink.base()) };
    let item = |item| LogRecord { attributes: own_keys(item, 40), ..log_record(item) };
    let outcome = export(&config, logs((0..12).map(item).collect())).await;
    assert_eq!((outcome.accepted, outcome.requests_sent), (12, 3));
}
