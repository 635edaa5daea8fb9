//! Requests of another signal than their path's: a valid request is never mistaken, and certain mistakes are always detected.

use crate::generators::{self, eighths, request};
use lambda_otlp_wire::{Limits, Logs, Metrics, Request, Signal, SignalKind, Traces};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;

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
    fn a_valid_request_is_never_mistaken_for_another_signal(request in request(&eighths())) {
        prop_assert_eq!(told(request.kind(), &request), None);
    }

    #[test]
    fn signal_detection_returns_the_actual_signal_or_none(
        request in request(&eighths()),
        kind in 0..3_usize,
    ) {
        let kind = SignalKind::ALL[kind];
        let passes = Request::check(kind, request.bytes().to_vec(), &Limits::default()).is_ok();
        let told = told(kind, &request).filter(|_| passes);
        prop_assert!(told.is_none_or(|told| told == request.kind()), "{told:?}");
    }

    #[test]
    fn sdk_requests_are_rejected_at_the_path_of_another_signal(
        mut spans in generators::traces(&eighths()),
        mut metrics in generators::metrics(&eighths()),
        mut logs in generators::logs(&eighths()),
        now in 1_600_000_000_000_000_000..u64::MAX,
    ) {
        for span in spans.iter_mut().flat_map(|of_resource| &mut of_resource.scope_spans[0].spans) {
            (span.trace_id, span.span_id) = (vec![1; 16], vec![2; 8]);
            span.start_time_unix_nano = now;
        }
        let of_scopes = metrics.iter_mut().flat_map(|of_resource| &mut of_resource.scope_metrics);
        for metric in of_scopes.flat_map(|of_scope| &mut of_scope.metrics) {
            // Without a name it is no valid metric, and its data may be the name of a span. If its name and description have the
            // lengths of two ids, it may be a span.
            metric.name.push_str("orders");
            metric.description.push_str("what it counts");
            let data_points = vec![NumberDataPoint { time_unix_nano: now, ..Default::default() }];
            metric.data = Some(metric::Data::Gauge(Gauge { data_points }));
        }
        for record in logs.iter_mut().flat_map(|of_resource| &mut of_resource.scope_logs[0].log_records) {
            record.observed_time_unix_nano = now;
        }
        let requests = [
            Request::encode::<Traces>(&Traces::request(spans)),
            Request::encode::<Metrics>(&Metrics::request(metrics)),
            Request::encode::<Logs>(&Logs::request(logs)),
        ];
        for request in requests.into_iter().filter(|request| request.items() > 0) {
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
    let without_time = Request::of_log_records(
        None,
        vec![LogRecord { attributes: vec![attribute], ..Default::default() }],
    );
    check(SignalKind::Metrics, &without_time, Some(SignalKind::Logs));
    let body_only =
        Request::of_log_records(None, vec![LogRecord { body: body("late"), ..Default::default() }]);
    check(SignalKind::Traces, &body_only, Some(SignalKind::Logs));
    // Its name could be the body of a log record, of an unknown kind.
    let without_ids =
        Request::of_spans(None, vec![Span { name: "xx".to_owned(), ..Default::default() }]);
    check(SignalKind::Traces, &without_ids, None);
    let value = Some(number_data_point::Value::AsInt(7));
    let point = NumberDataPoint { value, ..Default::default() };
    let gauge = |name: &str, description: &str, points: usize| {
        let data_points = vec![point.clone(); points];
        let metric = Metric {
            name: name.to_owned(),
            description: description.to_owned(),
            data: Some(metric::Data::Gauge(Gauge { data_points })),
            ..Default::default()
        };
        Request::of_metrics(None, vec![metric])
    };
    check(SignalKind::Traces, &gauge("orders", "", 1), Some(SignalKind::Metrics));
    // As long as the ids of a trace and a span.
    check(SignalKind::Traces, &gauge("orders.per.month", "as today", 1), None);
    check(SignalKind::Traces, &gauge("orders", "", 0), None);
    check(SignalKind::Metrics, &gauge("", "", 1), None);
}
