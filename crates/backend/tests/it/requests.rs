//! Requests, the fake OpenObserve and the client for these tests.

use lambda_otlp_backend::{Client, DestinationConfig, Outcome};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;
use std::time::Duration;
use test_support::openobserve::{Builder, FakeOpenObserve};
use tokio::time::Instant;
use url::Url;
use wire::Request;

/// Nanoseconds since 1970 on the backend's clock. All records have this time.
pub(crate) const NOW: u64 = 1_785_500_000_000_000_000;

/// `root@example.com:right`
pub(crate) const AUTHORIZATION: &str = "Basic cm9vdEBleGFtcGxlLmNvbTpyaWdodA==";

/// A backend that wants [`AUTHORIZATION`].
pub(crate) async fn started(builder: Builder) -> FakeOpenObserve {
    builder.user("root@example.com", "right").clock(|| NOW).start().await.unwrap()
}

pub(crate) fn destination(base: &str) -> DestinationConfig {
    let mut destination = DestinationConfig::new(&Url::parse(base).unwrap());
    destination.headers.push("authorization", AUTHORIZATION).unwrap();
    destination
}

pub(crate) async fn send(client: &Client, request: Request) -> Outcome {
    client.export(None, request, Instant::now() + Duration::from_secs(10)).await
}

pub(crate) async fn export(destination: &DestinationConfig, request: Request) -> Outcome {
    send(&Client::new(destination).unwrap(), request).await
}

pub(crate) fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

pub(crate) fn attribute(key: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text("x")), ..Default::default() }
}

pub(crate) fn shop() -> Resource {
    let attributes = vec![KeyValue { value: Some(text("shop")), ..attribute("service.name") }];
    Resource { attributes, ..Default::default() }
}

pub(crate) fn log_record(number: usize) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW,
        severity_text: "INFO".to_owned(),
        body: Some(text(&number.to_string())),
        ..Default::default()
    }
}

pub(crate) fn logs(log_records: Vec<LogRecord>) -> Request {
    Request::of_log_records(shop(), log_records)
}

/// Log records whose bodies are these numbers.
pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> Request {
    logs(numbers.map(log_record).collect())
}

pub(crate) fn number(record: &LogRecord) -> usize {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The number of copies stored of each number.
pub(crate) fn stored(backend: &FakeOpenObserve) -> BTreeMap<usize, usize> {
    let mut stored = BTreeMap::new();
    for record in backend.log_records() {
        *stored.entry(number(&record.item)).or_default() += 1;
    }
    stored
}

pub(crate) fn summary(outcome: &Outcome) -> String {
    let accepted = format!("{} accepted, {} ambiguous", outcome.accepted, outcome.ambiguous_items);
    let parts = outcome
        .parts
        .iter()
        .map(|part| format!("; {} {:?}: {}", part.items, part.fate, part.reason));
    std::iter::once(accepted).chain(parts).collect()
}

pub(crate) fn span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "checkout".to_owned(),
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 1,
        ..Default::default()
    }
}

pub(crate) fn spans(spans: Vec<Span>) -> Request {
    Request::of_spans(shop(), spans)
}

/// A gauge whose points have these attributes.
pub(crate) fn gauge(points: impl IntoIterator<Item = Vec<KeyValue>>) -> Request {
    let point = |attributes| NumberDataPoint {
        attributes,
        time_unix_nano: NOW,
        value: Some(number_data_point::Value::AsDouble(1.0)),
        ..Default::default()
    };
    let data = Data::Gauge(Gauge { data_points: points.into_iter().map(point).collect() });
    let metric = Metric { name: "queue".to_owned(), data: Some(data), ..Default::default() };
    Request::of_metrics(shop(), vec![metric])
}
