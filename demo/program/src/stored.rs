//! The records in the backend as items of the accounting. A record without a counterpart becomes an unexpected item.

use crate::accounting::{CountedItem, ItemKind, numbered};
use console::waterfall::{
    EXTENSION_SCOPE, FORWARDER_SCOPE, INVOCATION_ID, NUMBER, PLATFORM_SCOPE, attribute_text,
    value_text,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeMap;
use test_support::openobserve::{
    FakeOpenObserve, Stored, StoredLogRecord, StoredMetric, StoredSpan, point_attributes,
};

/// The scope of the library, which writes one kind of record itself.
const LIBRARY_SCOPE: &str = "lambda-otlp-exporter";

#[derive(Debug, Clone, Default)]
pub(crate) struct Arrived {
    pub(crate) spans: Vec<StoredSpan>,
    pub(crate) log_records: Vec<StoredLogRecord>,
    pub(crate) metrics: Vec<StoredMetric>,
}

impl Arrived {
    pub(crate) fn at(fake: &FakeOpenObserve) -> Self {
        let mut metrics = fake.metrics();
        metrics.retain(|metric| {
            ![&metric.scope.name, &metric.item.name]
                .iter()
                .any(|name| IGNORED.contains(&name.as_str()))
        });
        Self { spans: fake.spans(), log_records: fake.log_records(), metrics }
    }

    /// Returns an item for each span and log record (two for a SERVER span), for each data point of a function's metrics, and
    /// for each metric of Lambda's reports.
    pub(crate) fn items(&self) -> Vec<CountedItem> {
        let mut items: Vec<CountedItem> = self.spans.iter().map(span).collect();
        items.extend(self.spans.iter().filter_map(server_span));
        items.extend(self.log_records.iter().map(log_record));
        let mut totals: BTreeMap<(String, String), f64> = BTreeMap::new();
        for metric in &self.metrics {
            let name = &metric.item.name;
            if metric.scope.name == PLATFORM_SCOPE {
                let total = totals.entry((service(metric), name.clone())).or_default();
                *total += sum(metric.item.data.as_ref());
            } else {
                let points = point_attributes(metric.item.data.as_ref());
                items.extend(points.into_iter().map(|attributes| {
                    let number =
                        number(attributes).unwrap_or_else(|| format!("{name} without a number"));
                    CountedItem::new(ItemKind::DataPoint, number)
                }));
            }
        }
        items.extend(totals.into_iter().map(|((service, name), sum)| {
            CountedItem::new(ItemKind::ReportMetric, total(&service, &name, sum))
        }));
        items
    }
}

fn request_id(span: &StoredSpan) -> Option<String> {
    attribute_text(&span.item.attributes, INVOCATION_ID)
}

fn span(span: &StoredSpan) -> CountedItem {
    let attributes = &span.item.attributes;
    if span.scope.name == PLATFORM_SCOPE {
        let name = request_id(span).unwrap_or_else(|| span.item.name.clone());
        return CountedItem::new(ItemKind::PlatformSpan, name);
    }
    let nameless = || format!("{} without a number", span.item.name);
    let is_partial = is_partial(span);
    // Partial spans have only a number in the functions' list.
    let content = (!is_partial).then(|| content(&span.item.name, attributes));
    let name = number(attributes)
        .map(|number| numbered(number, content.as_deref()))
        .or_else(|| without_number(span))
        .unwrap_or_else(nameless);
    let kind = if is_partial { ItemKind::PartialSpan } else { ItemKind::Span };
    CountedItem::new(kind, name)
}

/// The content of an item in the notation of the functions' list.
fn content(head: &str, attributes: &[KeyValue]) -> String {
    let texts = attributes.iter().map(|KeyValue { key, value, .. }| {
        let text = match value.as_ref().map(|value| (&value.value, value)) {
            Some((Some(Value::ArrayValue(_)), _)) => "list".to_owned(),
            Some((_, value)) => value_text(value),
            None => String::new(),
        };
        (key, text)
    });
    let sorted: BTreeMap<_, _> = texts.collect();
    let fields: Vec<_> = sorted.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{head} | {}", fields.join(", "))
}

/// Returns `true` if the span had not ended when the function wrote it.
pub(crate) fn is_partial(span: &StoredSpan) -> bool {
    attribute_text(&span.item.attributes, "lambda_otlp.partial").as_deref() == Some("true")
}

/// Names a span that has no number: by its invocation, by the item in an annotation for X-Ray, or by the path of its
/// request.
fn without_number(span: &StoredSpan) -> Option<String> {
    let attributes = &span.item.attributes;
    if span.item.kind == SpanKind::Server as i32 {
        return request_id(span).map(|request_id| format!("serves {request_id}"));
    }
    if let Some(item) = attribute_text(attributes, "item") {
        return Some(format!("waits for /stock/{item}"));
    }
    let url = attribute_text(attributes, "url.full")?;
    let path = url.split_once("://")?.1.split_once('/')?.1;
    Some(format!("calls /{path}"))
}

/// A SERVER span is also counted by invocation, because each invocation has exactly one.
fn server_span(span: &StoredSpan) -> Option<CountedItem> {
    if span.item.kind != SpanKind::Server as i32 {
        return None;
    }
    let name = request_id(span).unwrap_or_else(|| span.item.name.clone());
    Some(CountedItem::new(ItemKind::ServerSpan, name))
}

fn log_record(record: &StoredLogRecord) -> CountedItem {
    let attributes = &record.item.attributes;
    if let Some(number) = number(attributes) {
        return CountedItem::new(ItemKind::LogRecord, number);
    }
    let id = attribute_text(attributes, INVOCATION_ID);
    if let Some(request_id) = id.filter(|_| record.scope.name == LIBRARY_SCOPE) {
        return CountedItem::new(ItemKind::LogRecord, format!("the error of {request_id}"));
    }
    let line = attribute_text(attributes, "log.record.uid")
        .unwrap_or_else(|| format!("without an id: {:?}", record.item.body));
    CountedItem::new(ItemKind::LogLine, line)
}

/// The `service.name` of a record.
pub(crate) fn service<T>(stored: &Stored<T>) -> String {
    attribute_text(&stored.resource.attributes, "service.name").unwrap_or_default()
}

pub(crate) fn number(attributes: &[KeyValue]) -> Option<String> {
    attribute_text(attributes, NUMBER)
}

/// Scopes and names of metrics that the accounting ignores, because it has no independent source for them: the forwarder's own, and
/// those that only the extension can make.
pub(crate) const IGNORED: [&str; 7] = [
    EXTENSION_SCOPE,
    FORWARDER_SCOPE,
    "aws.lambda.response_latency",
    "aws.lambda.response_duration",
    "aws.lambda.runtime_overhead",
    "aws.lambda.extension_overhead",
    "aws.lambda.produced_bytes",
];

pub(crate) fn total(service: &str, name: &str, sum: f64) -> String {
    format!("{service} {name} {sum}")
}

/// The value of a sum, the count of a histogram, or the number of points of a gauge.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn sum(data: Option<&Data>) -> f64 {
    let value = |point: &NumberDataPoint| match point.value {
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        Some(number_data_point::Value::AsDouble(value)) => value,
        None => 0.0,
    };
    match data {
        Some(Data::Sum(sum)) => sum.data_points.iter().map(value).sum(),
        Some(Data::Histogram(histogram)) => {
            histogram.data_points.iter().map(|point| point.count as f64).sum()
        }
        Some(Data::Gauge(gauge)) => gauge.data_points.len() as f64,
        _ => 0.0,
    }
}
