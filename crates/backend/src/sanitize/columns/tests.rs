use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use std::ops::Range;
use wire::{Logs, Metrics, Traces};

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn map(values: Vec<KeyValue>) -> Value {
    Value::KvlistValue(KeyValueList { values })
}

/// Attributes `key7`, `key8`, … with long values, so that no request is exempt because of its size.
fn keys(numbers: Range<usize>) -> Vec<KeyValue> {
    numbers.map(|n| attribute(&format!("key{n}"), Value::StringValue("x".repeat(40)))).collect()
}

fn traces(resources: Vec<(Vec<KeyValue>, Vec<Vec<KeyValue>>)>) -> Request {
    let resource_spans = resources.into_iter().map(|(attributes, items)| {
        let span = |attributes| Span { attributes, ..Default::default() };
        let spans = items.into_iter().map(span).collect();
        ResourceSpans {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_spans: vec![ScopeSpans { spans, ..Default::default() }],
            ..Default::default()
        }
    });
    let resource_spans = resource_spans.collect();
    Request::encode::<Traces>(&ExportTraceServiceRequest { resource_spans })
}

fn logs(resource: Vec<KeyValue>, log_records: Vec<LogRecord>) -> Request {
    let resource_logs = vec![ResourceLogs {
        resource: Some(Resource { attributes: resource, ..Default::default() }),
        scope_logs: vec![ScopeLogs { log_records, ..Default::default() }],
        ..Default::default()
    }];
    Request::encode::<Logs>(&ExportLogsServiceRequest { resource_logs })
}

fn log_records(items: Vec<Vec<KeyValue>>) -> Vec<LogRecord> {
    items.into_iter().map(|attributes| LogRecord { attributes, ..Default::default() }).collect()
}

fn metrics(resource: Vec<KeyValue>, metrics: Vec<(&str, Data)>) -> Request {
    let metric = |(name, data): (&str, Data)| Metric {
        name: name.to_owned(),
        data: Some(data),
        ..Default::default()
    };
    let resource_metrics = vec![ResourceMetrics {
        resource: Some(Resource { attributes: resource, ..Default::default() }),
        scope_metrics: vec![ScopeMetrics {
            metrics: metrics.into_iter().map(metric).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }];
    Request::encode::<Metrics>(&ExportMetricsServiceRequest { resource_metrics })
}

fn gauge(points: Vec<Vec<KeyValue>>) -> Data {
    let point = |attributes| NumberDataPoint { attributes, ..Default::default() };
    Data::Gauge(Gauge { data_points: points.into_iter().map(point).collect() })
}

/// Number of items of each piece, with room for this many columns beside the fixed ones.
#[track_caller]
fn check(request: Request, columns: usize, expected: &[usize]) {
    let fixed = match request.kind() {
        SignalKind::Traces => 18,
        SignalKind::Logs => 9,
        SignalKind::Metrics => 14,
    };
    let pieces = split_by_columns(request, columns + fixed);
    assert_eq!(pieces.iter().map(Request::items).collect::<Vec<_>>(), expected);
}

#[test]
fn items_share_a_request_up_to_the_column_limit() {
    let three = || vec![keys(0..10), keys(10..20), keys(20..30)];
    let spans = |items| traces(vec![(vec![], items)]);
    check(spans(three()), 30, &[3]);
    check(spans(three()), 29, &[2, 1]);
    check(spans(three()), 19, &[1, 1, 1]);
    check(spans(vec![keys(0..10); 5]), 10, &[5]);
    check(logs(vec![], log_records(three())), 29, &[2, 1]);
    check(metrics(vec![], vec![("queue", gauge(three()))]), 29, &[2, 1]);
    // An oversized item stays alone.
    check(spans(vec![keys(0..10), keys(0..50), keys(0..10), keys(5..15)]), 30, &[1, 1, 2]);
}

#[test]
fn resource_columns_count_in_every_piece() {
    let items = || vec![keys(0..10), keys(10..20), keys(20..30)];
    check(traces(vec![(keys(90..110), items())]), 49, &[2, 1]);
    check(logs(keys(90..110), log_records(items())), 49, &[2, 1]);
    check(metrics(keys(90..110), vec![("queue", gauge(items()))]), 49, &[2, 1]);
    // Spans store them with a prefix, records and data points without.
    check(traces(vec![(keys(0..10), vec![keys(0..10); 2])]), 19, &[1, 1]);
    check(logs(keys(0..10), log_records(vec![keys(0..10); 2])), 10, &[2]);
    check(traces(vec![(keys(0..5), items()), (keys(5..10), items())]), 40, &[6]);
    check(traces(vec![(keys(0..5), items()), (keys(5..10), items())]), 39, &[3, 3]);
    check(traces(vec![(keys(0..5), items()), (keys(0..5), items())]), 35, &[6]);
}

#[test]
fn an_oversized_resource_is_not_repeated() {
    let lost = || (keys(0..50), vec![keys(0..10); 4]);
    let good = || (keys(0..5), vec![keys(0..10); 2]);
    check(traces(vec![good(), lost(), good()]), 30, &[2, 4, 2]);
}

#[test]
fn resource_bytes_repeated_by_splitting_are_bounded() {
    let large =
        vec![attribute("large", Value::StringValue("x".repeat(MOST_REPEATED_BYTES / 3 - 99)))];
    let items = (0..10).map(|n| keys(n * 10..n * 10 + 10)).collect();
    check(traces(vec![(large, items)]), 15, &[1, 1, 1, 7]);
}

#[test]
fn columns_are_counted_per_metric_stream() {
    let point = |numbers| gauge(vec![keys(numbers)]);
    check(metrics(vec![], vec![("a", point(0..10)), ("b", point(10..20))]), 10, &[2]);
    check(metrics(vec![], vec![("a", point(0..10)), ("A", point(10..20))]), 10, &[1, 1]);
    let (first, second) = (keys(0..10), keys(10..20));
    let both = || [first.clone(), second.clone()].into_iter();
    let sum = both().map(|attributes| NumberDataPoint { attributes, ..Default::default() });
    let sum = Data::Sum(Sum { data_points: sum.collect(), ..Default::default() });
    check(metrics(vec![], vec![("a", sum)]), 19, &[1, 1]);
    let histogram =
        both().map(|attributes| HistogramDataPoint { attributes, ..Default::default() });
    let histogram =
        Data::Histogram(Histogram { data_points: histogram.collect(), ..Default::default() });
    check(metrics(vec![], vec![("a", histogram)]), 19, &[1, 1]);
    let exponential =
        both().map(|attributes| ExponentialHistogramDataPoint { attributes, ..Default::default() });
    let exponential = Data::ExponentialHistogram(ExponentialHistogram {
        data_points: exponential.collect(),
        ..Default::default()
    });
    check(metrics(vec![], vec![("a", exponential)]), 19, &[1, 1]);
    let summary = both().map(|attributes| SummaryDataPoint { attributes, ..Default::default() });
    let summary = Data::Summary(Summary { data_points: summary.collect() });
    check(metrics(vec![], vec![("a", summary)]), 19, &[1, 1]);
}

#[test]
fn columns_are_counted_in_openobserve_spelling() {
    let pair = |first: KeyValue, second: KeyValue| {
        // Ten more keys make a split necessary.
        let with = |attribute| [keys(0..10), vec![attribute]].concat();
        logs(vec![], log_records(vec![with(first), with(second)]))
    };
    let text = |key: &str| attribute(key, Value::BoolValue(true));
    check(pair(text("Http.Route"), text("http_route")), 11, &[2]);
    check(pair(text("http.route"), text("httproute")), 11, &[1, 1]);
    // Maps become columns down to the third level, and text below it.
    let level = |n: usize, inner: Value| {
        ["a", "b", "c", "d"][..n]
            .iter()
            .rev()
            .fold(inner, |value, key| map(vec![attribute(key, value)]))
    };
    let nested = |levels, leaf: &str| attribute("m", level(levels, map(vec![text(leaf)])));
    check(pair(nested(0, "x"), nested(0, "y")), 11, &[1, 1]);
    check(pair(nested(1, "x"), nested(1, "y")), 11, &[1, 1]);
    check(pair(nested(2, "x"), nested(2, "y")), 11, &[2]);
    check(pair(nested(0, "x"), text("m.x")), 11, &[2]);
    // Spans store maps as columns too.
    let span = |attribute| [keys(0..10), vec![attribute]].concat();
    let spans = vec![span(nested(0, "x")), span(nested(0, "y"))];
    check(traces(vec![(vec![], spans.clone())]), 11, &[1, 1]);
    check(traces(vec![(vec![], spans)]), 12, &[2]);
    // A map as a body.
    let body = |numbers| LogRecord {
        body: Some(AnyValue { value: Some(map(keys(numbers))) }),
        ..Default::default()
    };
    check(logs(vec![], vec![body(0..10), body(10..20)]), 19, &[1, 1]);
}

#[test]
fn small_and_empty_requests_stay_whole() {
    check(logs(vec![], vec![]), 0, &[0]);
    check(traces(vec![(vec![], vec![keys(0..1)])]), 0, &[1]);
    let few = traces(vec![(vec![], vec![keys(0..10), keys(10..20)])]);
    assert_eq!(split_by_columns(few.clone(), 900), [few]);
}

#[test]
fn a_thousand_pieces_keep_their_order() {
    let item = |n: usize| keys(n * 20..n * 20 + 20);
    let request = traces(vec![(keys(0..1), (0..1000).map(item).collect())]);
    let pieces = split_by_columns(request, 18 + 25);
    let found: Vec<Request> =
        (0..1000).map(|n| traces(vec![(keys(0..1), vec![item(n)])])).collect();
    assert!(pieces == found);
}

proptest! {
    /// Nothing is lost or reordered, and only pieces with a single item exceed the limit.
    #[test]
    fn pieces_preserve_all_items_within_the_column_limit(
        resources in proptest::collection::vec(
            (0usize..20, proptest::collection::vec((0usize..60, 0usize..15), 0..8)),
            0..5,
        ),
        columns in 1usize..60,
    ) {
        let items = |items: Vec<(usize, usize)>| {
            items.into_iter().map(|(first, len)| keys(first..first + len)).collect::<Vec<_>>()
        };
        let resources: Vec<_> =
            resources.into_iter().map(|(len, list)| (keys(0..len), items(list))).collect();
        let request = traces(resources);
        let pieces = split_by_columns(request.clone(), columns + 18);
        let flat = |request: &Request| -> Vec<(Vec<KeyValue>, Vec<KeyValue>)> {
            let decoded = request.decode::<Traces>().unwrap().unwrap();
            let spans = |container: ResourceSpans| {
                let resource = container.resource.unwrap_or_default().attributes;
                let scopes = container.scope_spans.into_iter();
                let spans = scopes.flat_map(|scope| scope.spans);
                spans.map(|span| (resource.clone(), span.attributes)).collect::<Vec<_>>()
            };
            decoded.resource_spans.into_iter().flat_map(spans).collect()
        };
        let all: Vec<_> = pieces.iter().flat_map(flat).collect();
        prop_assert_eq!(all, flat(&request));
        for piece in &pieces {
            prop_assert_eq!(piece.items(), flat(piece).len());
            let mut names = HashSet::new();
            let mut widest_resource = 0;
            for (resource, own) in flat(piece) {
                widest_resource = widest_resource.max(resource.len());
                names.extend(resource.iter().map(|attribute| format!("service_{}", attribute.key)));
                names.extend(own.iter().map(|attribute| attribute.key.clone()));
            }
            prop_assert!(names.len() <= columns || piece.items() == 1 || widest_resource > columns);
        }
    }
}

#[test]
fn the_key_count_check_detects_few_keys() {
    let check = |request: &Request, max: usize, expected: bool| {
        let found = super::keys::are_few(request.kind(), request.bytes(), max);
        assert_eq!(found, expected, "{request:?} {max}");
    };
    // The limit keeps one column in reserve.
    let repeated = traces(vec![(keys(0..3), vec![keys(0..10); 500])]);
    check(&repeated, 14, true);
    check(&repeated, 12, false);
    check(&traces(vec![(vec![], (0..50).map(|n| keys(n..n + 1)).collect())]), 49, false);
    check(&traces(vec![(vec![], (0..50).map(|n| keys(n..n + 1)).collect())]), 51, true);
    // Keys in one slot.
    let alike = |n: usize| {
        vec![attribute(&format!("k{:03}k{:03}k", n, 999 - n), Value::StringValue("x".repeat(40)))]
    };
    let alike = (0..100).chain(0..100).map(alike).collect();
    let alike = traces(vec![(vec![], alike)]);
    check(&alike, 101, true);
    check(&alike, 99, false);
    // Maps have more columns than keys.
    let flat = log_records(vec![keys(0..10); 500]);
    check(&logs(keys(0..3), flat.clone()), 14, true);
    let nested = vec![attribute("a", map(keys(0..2)))];
    check(&logs(nested.clone(), flat.clone()), 900, false);
    check(&logs(vec![], [flat, log_records(vec![nested])].concat()), 900, false);
    let body = AnyValue { value: Some(map(keys(0..2))) };
    let body = LogRecord { body: Some(body), ..Default::default() };
    check(&logs(vec![], vec![body]), 900, false);
}
