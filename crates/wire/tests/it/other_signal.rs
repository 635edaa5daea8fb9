//! Requests of another signal than their path's: a valid request is never mistaken, and certain mistakes are always detected.

use lambda_otlp_wire::{Limits, Logs, Metrics, Request, Signal, SignalKind, Traces};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Nothing, a time, or a number whose bytes are text.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any::<u64>(), vec(0x20..0x7f_u8, 8).prop_map(text_bytes)]
}

fn text_bytes(bytes: Vec<u8>) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        ".{0,20}",
        "[ -~]{16}",
        "[ -~]{8}",
        "\n[\\x01-\\x09][ -~]{0,9}"
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let attribute = (text(), option::of(text())).prop_map(|(key, value)| KeyValue {
        key,
        value: value.map(|text| AnyValue { value: Some(Value::StringValue(text)) }),
        ..Default::default()
    });
    vec(attribute, 0..3)
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (vec(any::<u8>(), 16), vec(any::<u8>(), 8));
    (ids, text(), 0..6, time(), time(), attributes()).prop_map(
        |((trace_id, span_id), name, kind, start, end, attributes)| Span {
            trace_id,
            span_id,
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            ..Default::default()
        },
    )
}

fn point() -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        any::<f64>().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
    ];
    (time(), time(), option::of(value), attributes()).prop_map(
        |(start, time, value, attributes)| NumberDataPoint {
            start_time_unix_nano: start,
            time_unix_nano: time,
            value,
            attributes,
            ..Default::default()
        },
    )
}

fn metric() -> impl Strategy<Value = Metric> {
    let data = prop_oneof![
        vec(point(), 0..3).prop_map(|data_points| metric::Data::Gauge(Gauge { data_points })),
        vec(point(), 0..3)
            .prop_map(|data_points| metric::Data::Sum(Sum { data_points, ..Default::default() })),
        vec(time(), 0..3).prop_map(|times| {
            let point =
                |time_unix_nano| HistogramDataPoint { time_unix_nano, ..Default::default() };
            metric::Data::Histogram(Histogram {
                data_points: times.into_iter().map(point).collect(),
                aggregation_temporality: 1,
            })
        }),
    ];
    (".{1,20}|[ -~]{16}", text(), text(), option::of(data)).prop_map(
        |(name, description, unit, data)| Metric {
            name,
            description,
            unit,
            data,
            ..Default::default()
        },
    )
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    (time(), time(), 0..25, text(), option::of(text()), attributes()).prop_map(
        |(time, observed, severity_number, severity_text, body, attributes)| LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_number,
            severity_text,
            body: body.map(|text| AnyValue { value: Some(Value::StringValue(text)) }),
            attributes,
            ..Default::default()
        },
    )
}

fn traces(spans: Vec<Span>) -> Request {
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    Request::encode::<Traces>(&Traces::request(vec![ResourceSpans {
        scope_spans,
        ..Default::default()
    }]))
}

fn metrics(metrics: Vec<Metric>) -> Request {
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    Request::encode::<Metrics>(&Metrics::request(vec![ResourceMetrics {
        scope_metrics,
        ..Default::default()
    }]))
}

fn logs(log_records: Vec<LogRecord>) -> Request {
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    Request::encode::<Logs>(&Logs::request(vec![ResourceLogs { scope_logs, ..Default::default() }]))
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        vec(span(), 0..4).prop_map(traces),
        vec(metric(), 0..4).prop_map(metrics),
        vec(log_record(), 0..4).prop_map(logs),
    ]
}

fn told(kind: SignalKind, request: &Request) -> Option<SignalKind> {
    Request::other_signal(kind, request.bytes(), &Limits::default())
}

/// Returns `true` if a request of the wrong signal is refused.
fn is_refused(kind: SignalKind, request: &Request) -> bool {
    let bytes = request.bytes().to_vec();
    told(kind, request).is_some() || Request::check(kind, bytes, &Limits::default()).is_err()
}

proptest! {
    #[test]
    fn a_valid_request_is_never_mistaken_for_another_signal(request in request()) {
        prop_assert_eq!(told(request.kind(), &request), None);
    }

    #[test]
    fn signal_detection_returns_the_actual_signal_or_none(
        request in request(),
        kind in 0..3_usize,
    ) {
        let kind = SignalKind::ALL[kind];
        let passes = Request::check(kind, request.bytes().to_vec(), &Limits::default()).is_ok();
        let told = told(kind, &request).filter(|_| passes);
        prop_assert!(told.is_none_or(|told| told == request.kind()), "{told:?}");
    }

    #[test]
    fn sdk_requests_are_rejected_at_the_path_of_another_signal(
        mut spans in vec(span(), 1..4),
        mut gauges in vec((metric(), vec(point(), 1..3)), 1..4),
        mut records in vec(log_record(), 1..4),
        now in 1_600_000_000_000_000_000..u64::MAX,
    ) {
        for span in &mut spans {
            span.start_time_unix_nano = now;
        }
        for (metric, points) in &mut gauges {
            // A metric whose name and description have the lengths of two ids may be a span.
            metric.description.push_str("what it counts");
            metric.data = Some(metric::Data::Gauge(Gauge { data_points: points.clone() }));
        }
        for record in &mut records {
            record.observed_time_unix_nano = now;
        }
        let gauges = gauges.into_iter().map(|(metric, _)| metric).collect();
        for request in [traces(spans), metrics(gauges), logs(records)] {
            for kind in SignalKind::ALL.into_iter().filter(|kind| *kind != request.kind()) {
                prop_assert!(is_refused(kind, &request), "{} at {}", request.kind(), kind.path());
            }
        }
    }
}

#[test]
fn requests_valid_as_another_signal_are_detected_if_unambiguous() {
    let check = |kind, request: &Request, expected| {
        let bytes = request.bytes().to_vec();
        let passes = Request::check(kind, bytes, &Limits::default()).is_ok();
        assert_eq!((passes, told(kind, request)), (true, expected));
    };
    let body = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
    let attribute = KeyValue { key: "key".to_owned(), value: body("x"), ..Default::default() };
    // No data points, so everything would be lost.
    let without_time = logs(vec![LogRecord { attributes: vec![attribute], ..Default::default() }]);
    check(SignalKind::Metrics, &without_time, Some(SignalKind::Logs));
    let body_only = logs(vec![LogRecord { body: body("late"), ..Default::default() }]);
    check(SignalKind::Traces, &body_only, Some(SignalKind::Logs));
    // Its name could be the body of a log record, of an unknown kind.
    let without_ids = traces(vec![Span { name: "xx".to_owned(), ..Default::default() }]);
    check(SignalKind::Traces, &without_ids, None);
    let value = Some(number_data_point::Value::AsInt(7));
    let point = NumberDataPoint { value, ..Default::default() };
    let gauge = |name: &str, description: &str, points: usize| {
        let data_points = vec![point.clone(); points];
        metrics(vec![Metric {
            name: name.to_owned(),
            description: description.to_owned(),
            data: Some(metric::Data::Gauge(Gauge { data_points })),
            ..Default::default()
        }])
    };
    check(SignalKind::Traces, &gauge("orders", "", 1), Some(SignalKind::Metrics));
    // As long as the ids of a trace and a span.
    check(SignalKind::Traces, &gauge("orders.per.month", "as today", 1), None);
    check(SignalKind::Traces, &gauge("orders", "", 0), None);
    check(SignalKind::Metrics, &gauge("", "", 1), None);
}
