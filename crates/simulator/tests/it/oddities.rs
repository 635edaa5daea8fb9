//! Items that OpenObserve accepts silently and shows wrongly.

use lambda_otlp_simulator::sink::{OddityKind, ScriptedResponse, Sink};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::requests::{
    GZIP, NOW, PROTOBUF, attribute, gauge, gzip, kinds, logs, metric, metrics, point, post, record,
    resource, resource_spans, sink, span, traces,
};

/// Bytes after the first gzip member are lost silently.
#[tokio::test]
async fn gzip_members_after_the_first_are_lost() {
    let sink = sink().start().await.unwrap();
    let body = gzip(&traces(vec![span("a")]).encode_to_vec()).repeat(3);
    let answered = post(&sink, "/v1/traces", &[PROTOBUF, GZIP], body).await;
    assert_eq!((answered.status, answered.text(), sink.counts().spans), (200, "", 1));
    assert_eq!(kinds(&sink), [OddityKind::BytesAfterGzip]);
}

/// Too many columns of log records are lost with an answer that says nothing.
#[tokio::test]
async fn log_records_with_more_than_1000_columns_are_lost() {
    let sink = sink().start().await.unwrap();
    // The record has five columns without attributes.
    for (attributes, expected) in [(995, &[][..]), (996, &[OddityKind::TooManyColumns][..])] {
        let attributes = (0..attributes).map(|number| attribute(&format!("key.{number}"), "x"));
        let many = LogRecord { attributes: attributes.collect(), ..record() };
        let body = logs(vec![many]).encode_to_vec();
        assert_eq!(post(&sink, "/v1/logs", &[PROTOBUF], body).await.status, 200);
        assert_eq!((sink.counts().log_records, kinds(&sink).as_slice()), (1, expected));
    }
}

#[tokio::test]
async fn odd_spans_are_stored_and_noted() {
    let sink = sink().start().await.unwrap();
    let check = async |change: fn(&mut Span), expect: &[OddityKind]| {
        sink.clear();
        let mut odd = span("odd");
        change(&mut odd);
        let answered =
            post(&sink, "/v1/traces", &[PROTOBUF], traces(vec![odd.clone()]).encode_to_vec()).await;
        assert_eq!((answered.status, answered.text()), (200, ""));
        assert_eq!(
            (kinds(&sink).as_slice(), &sink.spans()[0].item),
            (expect, &odd),
            "stored as sent"
        );
    };
    check(|_| {}, &[]).await;
    check(|span| span.end_time_unix_nano = NOW - 1, &[OddityKind::EndBeforeStart]).await;
    check(|span| span.end_time_unix_nano = 0, &[OddityKind::EndBeforeStart]).await;
    check(|span| span.trace_id = vec![0; 16], &[OddityKind::InvalidId]).await;
    check(|span| span.parent_span_id = vec![3; 8], &[]).await;
    check(|span| span.parent_span_id = vec![3; 4], &[OddityKind::InvalidId]).await;
    check(
        |span| span.attributes = vec![attribute("service.name", "x")],
        &[OddityKind::AttributeReplacesColumn],
    )
    .await;
    check(
        |span| span.attributes = vec![attribute("flags", "x")],
        &[OddityKind::AttributeReplacesColumn],
    )
    .await;
    check(
        |span| span.attributes = vec![attribute("http.route", "/"), attribute("duration", "x")],
        &[],
    )
    .await;
}

#[tokio::test]
async fn spans_without_a_service_name_get_the_previous_one() {
    let sink = sink().start().await.unwrap();
    let nameless = Some(Resource::default());
    let request = ExportTraceServiceRequest {
        resource_spans: vec![
            resource_spans(nameless.clone(), vec![span("a")]),
            resource_spans(resource("shop"), vec![span("b")]),
            resource_spans(nameless, vec![span("c")]),
            resource_spans(None, vec![span("d")]),
        ],
    };
    post(&sink, "/v1/traces", &[PROTOBUF, ("stream-name", "orders")], request.encode_to_vec())
        .await;
    let spans = sink.spans();
    let names: Vec<_> =
        spans.iter().map(|span| (span.item.name.as_str(), span.service_name.as_str())).collect();
    assert_eq!(names, [("a", "orders"), ("b", "shop"), ("c", "shop"), ("d", "shop")]);
    assert_eq!(kinds(&sink), [OddityKind::NoServiceName; 3]);
    assert_eq!(
        spans[1].resource_attribute("service.name").and_then(|any| any.value.clone()),
        Some(Value::StringValue("shop".into()))
    );
}

#[tokio::test]
async fn odd_log_records_are_stored_and_noted() {
    let sink = sink().start().await.unwrap();
    let check = async |change: fn(&mut LogRecord), expect: &[OddityKind]| {
        sink.clear();
        let mut odd = record();
        change(&mut odd);
        let answered =
            post(&sink, "/v1/logs", &[PROTOBUF], logs(vec![odd.clone()]).encode_to_vec()).await;
        assert_eq!((answered.status, answered.text()), (200, ""));
        assert_eq!(
            (kinds(&sink).as_slice(), &sink.log_records()[0].item),
            (expect, &odd),
            "stored as sent"
        );
    };
    check(|_| {}, &[]).await;
    check(|record| record.severity_text.clear(), &[OddityKind::NoSeverityText]).await;
    check(|record| (record.trace_id, record.span_id) = (vec![1; 16], vec![2; 8]), &[]).await;
    check(|record| record.trace_id = vec![1; 8], &[OddityKind::InvalidId]).await;
    check(|record| record.span_id = vec![0; 8], &[OddityKind::InvalidId]).await;
    check(|record| record.attributes = vec![attribute("http.route", "/")], &[]).await;
    for key in ["_timestamp", "body", "severity", "Severity", "service.name"] {
        sink.clear();
        let odd = LogRecord { attributes: vec![attribute(key, "x")], ..record() };
        post(&sink, "/v1/logs", &[PROTOBUF], logs(vec![odd]).encode_to_vec()).await;
        assert_eq!(kinds(&sink), [OddityKind::AttributeReplacesColumn], "{key}");
    }
}

#[tokio::test]
async fn odd_metrics_are_noted() {
    let sink = sink().start().await.unwrap();
    let check = async |metric: Metric, expect: &[OddityKind]| {
        sink.clear();
        let answered =
            post(&sink, "/v1/metrics", &[PROTOBUF], metrics(vec![metric.clone()]).encode_to_vec())
                .await;
        assert_eq!((answered.status, answered.text()), (200, ""));
        assert_eq!(kinds(&sink), expect, "{metric:?}");
    };
    let with = |key: &str| NumberDataPoint { attributes: vec![attribute(key, "x")], ..point(1.0) };
    let sum = |aggregation_temporality: i32, start_time_unix_nano: u64| {
        let data_points = vec![NumberDataPoint { start_time_unix_nano, ..point(1.0) }];
        metric(Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }))
    };
    let histogram = |sum: Option<f64>, min: Option<f64>, start_time_unix_nano: u64| {
        let point = HistogramDataPoint {
            count: 1,
            sum,
            min,
            max: Some(1.0),
            start_time_unix_nano,
            ..HistogramDataPoint::default()
        };
        metric(Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 1 }))
    };
    check(gauge(vec![point(1.0)]), &[]).await;
    check(gauge(vec![point(f64::NAN)]), &[OddityKind::NoValue]).await;
    check(gauge(vec![point(f64::INFINITY)]), &[OddityKind::NoValue]).await;
    check(gauge(vec![NumberDataPoint { value: None, ..point(1.0) }]), &[OddityKind::NoValue]).await;
    check(gauge(vec![with("a"), with("a")]), &[]).await;
    check(gauge(vec![with("a"), with("b")]), &[OddityKind::GaugeAttributesDiffer]).await;
    check(gauge(vec![]), &[OddityKind::EmptyMetric]).await;
    check(Metric::default(), &[OddityKind::EmptyMetric]).await;
    check(sum(1, 0), &[]).await;
    check(sum(1, NOW), &[OddityKind::DeltaStartTime]).await;
    check(sum(2, NOW), &[]).await;
    check(histogram(Some(1.0), Some(1.0), 0), &[]).await;
    check(histogram(Some(1.0), Some(1.0), NOW), &[OddityKind::DeltaStartTime]).await;
    check(histogram(None, Some(1.0), 0), &[OddityKind::IncompleteHistogram]).await;
    check(histogram(Some(1.0), None, 0), &[OddityKind::IncompleteHistogram]).await;
    check(histogram(Some(f64::NAN), Some(1.0), 0), &[OddityKind::IncompleteHistogram]).await;
    let exponential = ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint::default()],
        aggregation_temporality: 1,
    };
    check(metric(Data::ExponentialHistogram(exponential)), &[OddityKind::ExponentialHistogram])
        .await;
}

/// Posts two requests at once: both see the stream before either adds its columns.
async fn at_once(sink: &Sink, path: &str, bodies: [Vec<u8>; 2]) -> [u16; 2] {
    sink.script([ScriptedResponse::held(), ScriptedResponse::held()]);
    let [first, second] = bodies.map(|body| post(sink, path, &[PROTOBUF], body));
    let release = async {
        sink.wait_until(|counts| counts.held == 2).await;
        sink.release();
    };
    let (first, second, ()) = tokio::join!(first, second, release);
    [first.status, second.status]
}

#[tokio::test]
async fn concurrent_requests_lose_new_columns_of_spans() {
    let sink = sink().racing_schemas().start().await.unwrap();
    let with = |keys: &[&str]| {
        let attributes = keys.iter().map(|key| attribute(key, "x")).collect();
        traces(vec![Span { attributes, ..span("a") }]).encode_to_vec()
    };
    let keys =
        || -> Vec<usize> { sink.spans().iter().map(|span| span.item.attributes.len()).collect() };
    let equal = || [with(&["http.route", "order"]), with(&["order", "http.route"])];
    assert_eq!(at_once(&sink, "/v1/traces", equal()).await, [200, 200]);
    let mut stored = keys();
    stored.sort_unstable();
    assert_eq!(stored, [0, 2]);
    assert_eq!(kinds(&sink), [OddityKind::StaleSchema]);
    // The columns are there now.
    assert_eq!(at_once(&sink, "/v1/traces", equal()).await, [200, 200]);
    // A request that adds a column of its own reads the schema again.
    let different = [with(&["order", "one"]), with(&["order", "two"])];
    assert_eq!(at_once(&sink, "/v1/traces", different).await, [200, 200]);
    assert_eq!(keys()[2..], [2, 2, 2, 2]);
    assert_eq!(kinds(&sink), [OddityKind::StaleSchema]);
}

#[tokio::test]
async fn concurrent_requests_lose_metrics_with_status_500() {
    let sink = sink().racing_schemas().start().await.unwrap();
    let other = Metric { name: "other".to_owned(), ..gauge(vec![point(1.0)]) };
    let body = || metrics(vec![gauge(vec![point(1.0)])]).encode_to_vec();
    let both = metrics(vec![gauge(vec![point(1.0)]), other]).encode_to_vec();
    let mut answered = at_once(&sink, "/v1/metrics", [body(), body()]).await;
    answered.sort_unstable();
    assert_eq!((answered, sink.counts().data_points), ([200, 500], 1));
    sink.clear();
    let mut answered = at_once(&sink, "/v1/metrics", [both.clone(), both]).await;
    answered.sort_unstable();
    assert_eq!((answered, sink.counts().data_points), ([200, 500], 2));
}
