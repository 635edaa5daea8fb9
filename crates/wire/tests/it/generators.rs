//! Requests of all three signals, with text and numbers in every form that the encoder treats in its own way.

use super::CONTEXT;
use lambda_otlp_wire::{Logs, Metrics, Request, Signal, Traces};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exponential_histogram_data_point,
    metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, span::Event, span::Link,
};
use proptest::prelude::*;

/// Text in every form that the encoder treats in its own way, and in forms that nearly are one.
fn string() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9A-F]{4}-[0-9a-f]{12}",
        "1-[0-9a-f]{8}-[0-9a-f]{24}",
        "[0-9a-f]{6,40}",
        "0?[0-9]{1,22}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "[A-Z0-9]{8,60}",
        "[0-9A-V]{52}",
        "[0-9A-V]{26}VV4KQNSO5AEMVJF66Q9ASUAAJG",
        Just("VV4KQNSO5AEMVJF66Q9ASUAAJG".to_owned()),
        "[A-Za-z0-9]{8,300}",
        "[\\x00-\\x20]{1,5}",
        Just(CONTEXT.function.to_owned()),
        Just(format!(
            "arn:aws:lambda:{}:{}:function:{}",
            CONTEXT.region, CONTEXT.account, CONTEXT.function
        )),
        Just(CONTEXT.log_stream.to_owned()),
        Just("eu-west-1a eu-west-10".to_owned()),
    ];
    prop::collection::vec((word, prop::sample::select(vec!["", " ", "/", "-", "\n"])), 0..4)
        .prop_map(|words| words.into_iter().map(|(word, behind)| word + behind).collect())
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        prop::sample::select(vec![
            -0.0,
            0.0,
            f64::NAN,
            f64::INFINITY,
            f64::MIN_POSITIVE,
            9.1e15,
            0.1
        ]),
        (any::<i32>(), 0..9).prop_map(|(digits, places)| f64::from(digits) / 10_f64.powi(places)),
    ]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -300..70_000_i64, Just(1 << 40), Just(i64::MIN), Just(1 << 60)]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        string().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        integer().prop_map(Value::IntValue),
        double().prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::BytesValue),
    ];
    let leaf = prop::option::weighted(0.9, leaf).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 8, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3)
            .prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let map =
            prop::collection::vec((string(), prop::option::of(inner)), 0..3).prop_map(|pairs| {
                let pair = |(key, value)| KeyValue { key, value, ..Default::default() };
                Value::KvlistValue(KeyValueList { values: pairs.into_iter().map(pair).collect() })
            });
        prop_oneof![list, map].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec((string(), prop::option::weighted(0.95, any_value())), 0..4).prop_map(
        |pairs| {
            pairs
                .into_iter()
                .map(|(key, value)| KeyValue { key, value, ..Default::default() })
                .collect()
        },
    )
}

fn time() -> impl Strategy<Value = u64> {
    let now = 1_790_000_000_000_000_000_u64;
    prop_oneof![
        any::<u64>(),
        (0..1_000_000_u64).prop_map(move |n| now + n * 1_000_000),
        Just(0),
        Just(now)
    ]
}

fn span_id() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![any::<u64>(), 0..3_u64].prop_map(|id| id.to_be_bytes().to_vec());
    prop_oneof![9 => id, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

fn trace_id() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![any::<u128>(), 0..3_u128].prop_map(|id| id.to_be_bytes().to_vec());
    prop_oneof![9 => id, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), span_id(), span_id());
    let events = prop::collection::vec((time(), string(), attributes()), 0..2);
    let links = prop::collection::vec((trace_id(), span_id(), attributes()), 0..2);
    let rest = (any::<i32>(), any::<u32>(), prop::option::of(string()));
    (ids, string(), time(), time(), attributes(), events, links, rest).prop_map(
        |(
            (trace_id, span_id, parent_span_id),
            name,
            start,
            end,
            attributes,
            events,
            links,
            (kind, flags, status),
        )| Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: name.clone(),
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events: events
                .into_iter()
                .map(|(time_unix_nano, name, attributes)| Event {
                    time_unix_nano,
                    name,
                    attributes,
                    dropped_attributes_count: flags,
                })
                .collect(),
            links: links
                .into_iter()
                .map(|(trace_id, span_id, attributes)| Link {
                    trace_id,
                    span_id,
                    attributes,
                    flags,
                    ..Default::default()
                })
                .collect(),
            status: status.map(|message| Status { message, code: 2 }),
            flags,
            ..Default::default()
        },
    )
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    prop::option::of(
        attributes().prop_map(|attributes| Resource { attributes, ..Default::default() }),
    )
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let scope = (string(), attributes());
    prop::option::of(scope.prop_map(|(name, attributes)| InstrumentationScope {
        name,
        attributes,
        ..Default::default()
    }))
}

pub(crate) fn traces() -> impl Strategy<Value = Request> {
    (resource(), scope(), prop::collection::vec(span(), 0..4)).prop_map(
        |(resource, scope, spans)| {
            let scope_spans = vec![ScopeSpans { scope, spans, ..Default::default() }];
            Request::encode::<Traces>(&Traces::request(vec![ResourceSpans {
                resource,
                scope_spans,
                ..Default::default()
            }]))
        },
    )
}

pub(crate) fn logs() -> impl Strategy<Value = Request> {
    let record = (
        time(),
        time(),
        prop::option::of(any_value()),
        attributes(),
        trace_id(),
        span_id(),
        0..30_i32,
    )
        .prop_map(|(time, observed, body, attributes, trace_id, span_id, severity_number)| {
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: observed,
                severity_number,
                body,
                attributes,
                trace_id,
                span_id,
                flags: 1,
                ..Default::default()
            }
        });
    (resource(), scope(), prop::collection::vec(record, 0..4)).prop_map(
        |(resource, scope, log_records)| {
            let scope_logs = vec![ScopeLogs { scope, log_records, ..Default::default() }];
            Request::encode::<Logs>(&Logs::request(vec![ResourceLogs {
                resource,
                scope_logs,
                ..Default::default()
            }]))
        },
    )
}

fn metric() -> impl Strategy<Value = Metric> {
    let number = (
        attributes(),
        time(),
        time(),
        prop_oneof![
            double().prop_map(number_data_point::Value::AsDouble),
            integer().prop_map(number_data_point::Value::AsInt),
        ],
    )
        .prop_map(|(attributes, start, time, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            value: Some(value),
            ..Default::default()
        });
    let counts = || prop::collection::vec(prop_oneof![any::<u64>(), 0..300_u64], 0..20);
    let histogram = (
        prop::option::of(double()),
        counts(),
        prop::collection::vec(double(), 0..15),
        any::<u64>(),
    )
        .prop_map(|(sum, bucket_counts, explicit_bounds, count)| HistogramDataPoint {
            sum,
            min: sum,
            bucket_counts,
            explicit_bounds,
            count,
            ..Default::default()
        });
    let exponential =
        (any::<i32>(), counts(), any::<u64>()).prop_map(|(scale, bucket_counts, zero_count)| {
            ExponentialHistogramDataPoint {
                scale,
                zero_count,
                positive: Some(exponential_histogram_data_point::Buckets {
                    offset: scale,
                    bucket_counts,
                }),
                ..Default::default()
            }
        });
    let data = prop_oneof![
        prop::collection::vec(number, 0..3)
            .prop_map(|data_points| metric::Data::Gauge(Gauge { data_points })),
        integer().prop_map(|value| {
            let value = Some(number_data_point::Value::AsInt(value));
            let data_points = vec![NumberDataPoint { value, ..Default::default() }];
            metric::Data::Sum(Sum { data_points, aggregation_temporality: 1, is_monotonic: true })
        }),
        histogram.prop_map(|point| metric::Data::Histogram(Histogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        })),
        exponential.prop_map(|point| metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        })),
    ];
    (string(), data).prop_map(|(name, data)| Metric {
        name,
        data: Some(data),
        ..Default::default()
    })
}

pub(crate) fn metrics() -> impl Strategy<Value = Request> {
    (resource(), scope(), prop::collection::vec(metric(), 0..4)).prop_map(
        |(resource, scope, metrics)| {
            let scope_metrics = vec![ScopeMetrics { scope, metrics, ..Default::default() }];
            Request::encode::<Metrics>(&Metrics::request(vec![ResourceMetrics {
                resource,
                scope_metrics,
                ..Default::default()
            }]))
        },
    )
}
