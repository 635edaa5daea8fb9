//! Telemetry that OpenObserve would display incorrectly.

use crate::support::{
    NOW, attribute, delta, destination, export, log_record, logs, metric, metrics, point, span,
    spans, started,
};
use lambda_otlp_backend::{Profile, sanitize};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    metric::Data,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use simulator::sink::Sink;
use std::collections::BTreeSet;
use wire::{Request, Traces};

#[tokio::test(start_paused = true)]
async fn sanitized_telemetry_causes_no_oddities() {
    let nameless = |request: Request| {
        // A second resource, without a service name.
        let mut decoded = request.decode::<Traces>().unwrap().unwrap();
        let mut second = decoded.resource_spans[0].clone();
        second.resource = None;
        decoded.resource_spans.push(second);
        Request::encode::<Traces>(&decoded)
    };
    let keys = ["service.name", "flags", "duration", "_timestamp", "http.route"];
    let bad_span = Span {
        end_time_unix_nano: 0,
        parent_span_id: vec![0; 8],
        attributes: keys.iter().map(|key| attribute(key)).collect(),
        ..span()
    };
    let keys = ["_timestamp", "Body", "severity", "service.name", "trace_id"];
    let bad_record = LogRecord {
        severity_text: String::new(),
        attributes: keys.iter().map(|key| attribute(key)).collect(),
        ..log_record(0)
    };
    let exponential = ExponentialHistogramDataPoint {
        start_time_unix_nano: NOW - 9,
        time_unix_nano: NOW,
        count: 3,
        scale: 2,
        positive: Some(Buckets { offset: -3, bucket_counts: vec![1, 0, 2] }),
        ..Default::default()
    };
    let incomplete = HistogramDataPoint {
        start_time_unix_nano: NOW - 9,
        time_unix_nano: NOW,
        count: 3,
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![10.0],
        ..Default::default()
    };
    let bad_metrics = vec![
        delta(),
        metric(
            "queue",
            Data::Gauge(Gauge {
                data_points: vec![point(f64::NAN, &[]), point(1.0, &["a"]), point(2.0, &["b"])],
            }),
        ),
        metric(
            "latency",
            Data::Histogram(Histogram {
                data_points: vec![incomplete],
                aggregation_temporality: 1,
            }),
        ),
        metric(
            "size",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: 1,
            }),
        ),
        metric("nothing", Data::Gauge(Gauge::default())),
    ];
    let requests = [nameless(spans(vec![bad_span])), logs(vec![bad_record]), metrics(bad_metrics)];

    let sink = started(Sink::builder()).await;
    for request in &requests {
        assert_eq!(export(&destination(sink.base()), request.clone()).await.parts, []);
    }
    let unshaped: BTreeSet<_> = sink.oddities().iter().map(|oddity| oddity.kind).collect();
    assert!(unshaped.len() >= 8, "{unshaped:?}");

    let sink = started(Sink::builder()).await;
    for request in requests {
        let sanitized = sanitize(Profile::OpenObserve, request, "fallback");
        let outcome = export(&destination(sink.base()), sanitized.request.unwrap()).await;
        assert_eq!(outcome.parts, []);
    }
    assert_eq!(sink.oddities(), []);
    assert_eq!(sink.counts().data_points, 5, "NaN is left out");
    let services: Vec<String> = sink.spans().iter().map(|span| span.service_name.clone()).collect();
    assert_eq!(services, ["shop", "fallback"]);
}
