//! Requests of all three signals, with every field, and with text and numbers in every form that the compact encoder treats in its
//! own way.

use crate::compact::CONTEXT;
use lambda_otlp_wire::{Logs, Metrics, Request, Signal, Traces};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
    number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// The doubles in a request.
pub(crate) type Doubles = BoxedStrategy<f64>;

/// Doubles of all kinds.
pub(crate) fn doubles() -> Doubles {
    let special = vec![-0.0, 0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 9.1e15, 0.1];
    let decimal = (any::<i32>(), 0..9);
    prop_oneof![
        any::<f64>(),
        prop::sample::select(special),
        decimal.prop_map(|(digits, places)| f64::from(digits) / 10_f64.powi(places)),
    ]
    .boxed()
}

/// Eighths: opentelemetry-proto's reader of JSON does not round other numbers exactly.
pub(crate) fn eighths() -> Doubles {
    any::<i32>().prop_map(|number| f64::from(number) / 8.0).boxed()
}

/// A request of any signal.
pub(crate) fn request(doubles: &Doubles) -> impl Strategy<Value = Request> + use<> {
    prop_oneof![
        traces(doubles).prop_map(|request| Request::encode::<Traces>(&Traces::request(request))),
        logs(doubles).prop_map(|request| Request::encode::<Logs>(&Logs::request(request))),
        metrics(doubles).prop_map(|request| Request::encode::<Metrics>(&Metrics::request(request))),
    ]
}

pub(crate) fn traces(doubles: &Doubles) -> impl Strategy<Value = Vec<ResourceSpans>> + use<> {
    (container(doubles), vec(span(doubles), 0..4)).prop_map(|((resource, scope, url), spans)| {
        let scope_spans = vec![ScopeSpans { scope, spans, schema_url: url.clone() }];
        vec![ResourceSpans { resource, scope_spans, schema_url: url }]
    })
}

pub(crate) fn logs(doubles: &Doubles) -> impl Strategy<Value = Vec<ResourceLogs>> + use<> {
    let records = vec(log_record(doubles), 0..4);
    (container(doubles), records).prop_map(|((resource, scope, url), log_records)| {
        let scope_logs = vec![ScopeLogs { scope, log_records, schema_url: url.clone() }];
        vec![ResourceLogs { resource, scope_logs, schema_url: url }]
    })
}

pub(crate) fn metrics(doubles: &Doubles) -> impl Strategy<Value = Vec<ResourceMetrics>> + use<> {
    let metric = (text(), attributes(doubles), option::of(data(doubles)));
    let metric = metric.prop_map(|(text, metadata, data)| Metric {
        name: text.clone(),
        description: text.clone(),
        unit: text,
        metadata,
        data,
    });
    (container(doubles), vec(metric, 0..4)).prop_map(|((resource, scope, url), metrics)| {
        let scope_metrics = vec![ScopeMetrics { scope, metrics, schema_url: url.clone() }];
        vec![ResourceMetrics { resource, scope_metrics, schema_url: url }]
    })
}

/// Text in every form that the encoder treats in its own way, and in forms that nearly are one.
fn text() -> BoxedStrategy<String> {
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
        // As long as ids, and like a message.
        "[ -~]{16}",
        "[ -~]{8}",
        "\n[\\x01-\\x09][ -~]{0,9}",
        Just(CONTEXT.function.to_owned()),
        Just(format!(
            "arn:aws:lambda:{}:{}:function:{}",
            CONTEXT.region, CONTEXT.account, CONTEXT.function
        )),
        Just(CONTEXT.log_stream.to_owned()),
        Just("eu-west-1a eu-west-10".to_owned()),
    ];
    vec((word, prop::sample::select(vec!["", " ", "/", "-", "\n"])), 0..4)
        .prop_map(|words| words.into_iter().map(|(word, behind)| word + behind).collect())
        .boxed()
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -300..70_000_i64, Just(1 << 40), Just(i64::MIN), Just(1 << 60)]
}

fn time() -> impl Strategy<Value = u64> {
    let now = 1_790_000_000_000_000_000_u64;
    let milliseconds = (0..1_000_000_u64).prop_map(move |n| now + n * 1_000_000);
    let like_text =
        any::<[u8; 8]>().prop_map(|bytes| u64::from_le_bytes(bytes.map(|byte| 0x20 | byte & 0x5f)));
    prop_oneof![any::<u64>(), milliseconds, Just(0), Just(now), like_text]
}

fn counts() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![any::<u64>(), 0..300_u64], 0..20)
}

/// A trace id and two span ids, some of them with another length.
fn ids() -> BoxedStrategy<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let short = || prop_oneof![any::<u64>(), 0..3_u64].prop_map(|id| id.to_be_bytes().to_vec());
    let long = prop_oneof![any::<u128>(), 0..3_u128].prop_map(|id| id.to_be_bytes().to_vec());
    let or_other = |id: BoxedStrategy<Vec<u8>>| prop_oneof![9 => id, 1 => vec(any::<u8>(), 0..20)];
    (or_other(long.boxed()), or_other(short().boxed()), or_other(short().boxed())).boxed()
}

fn value(doubles: &Doubles) -> impl Strategy<Value = AnyValue> + use<> {
    let leaf = prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        integer().prop_map(Value::IntValue),
        doubles.clone().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..20).prop_map(Value::BytesValue),
    ];
    let leaf = option::weighted(0.9, leaf).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 8, 3, |inner| {
        let list =
            vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let map = vec((text(), option::of(inner)), 0..3).prop_map(|pairs| {
            let values = pairs.into_iter().map(pair).collect();
            Value::KvlistValue(KeyValueList { values })
        });
        prop_oneof![list, map].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn pair((key, value): (String, Option<AnyValue>)) -> KeyValue {
    KeyValue { key, value, ..Default::default() }
}

fn attributes(doubles: &Doubles) -> BoxedStrategy<Vec<KeyValue>> {
    let attribute = (text(), option::weighted(0.95, value(doubles)));
    vec(attribute.prop_map(pair), 0..4).boxed()
}

/// A resource, a scope and a schema URL.
fn container(
    doubles: &Doubles,
) -> impl Strategy<Value = (Option<Resource>, Option<InstrumentationScope>, String)> + use<> {
    let entity = (text(), vec(text(), 0..3)).prop_map(|(text, keys)| EntityRef {
        schema_url: text.clone(),
        r#type: text,
        id_keys: keys.clone(),
        description_keys: keys,
    });
    let resource = (attributes(doubles), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    );
    let scope = (text(), text(), attributes(doubles), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    (option::of(resource), option::of(scope), text())
}

fn span(doubles: &Doubles) -> impl Strategy<Value = Span> + use<> {
    let event = (time(), text(), attributes(doubles), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| span::Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    );
    let link = (ids(), text(), attributes(doubles), any::<[u32; 2]>()).prop_map(
        |((trace_id, span_id, _), trace_state, attributes, [dropped_attributes_count, flags])| {
            span::Link {
                trace_id,
                span_id,
                trace_state,
                attributes,
                dropped_attributes_count,
                flags,
            }
        },
    );
    let children = (vec(event, 0..2), vec(link, 0..2), any::<[u32; 4]>());
    let status = option::of((text(), 0..3_i32));
    (ids(), [text(), text()], [time(), time()], any::<i32>(), attributes(doubles), children, status)
        .prop_map(|(ids, [name, trace_state], [start, end], kind, attributes, children, status)| {
            let (trace_id, span_id, parent_span_id) = ids;
            let (events, links, [flags, dropped_attributes_count, of_events, of_links]) = children;
            Span {
                trace_id,
                span_id,
                parent_span_id,
                trace_state,
                flags,
                name,
                kind,
                start_time_unix_nano: start,
                end_time_unix_nano: end,
                attributes,
                dropped_attributes_count,
                events,
                dropped_events_count: of_events,
                links,
                dropped_links_count: of_links,
                status: status.map(|(message, code)| Status { message, code }),
            }
        })
}

fn log_record(doubles: &Doubles) -> impl Strategy<Value = LogRecord> + use<> {
    let (times, counts, body) = ([time(), time()], any::<[u32; 2]>(), option::of(value(doubles)));
    (times, counts, 0..30_i32, [text(), text()], body, attributes(doubles), ids()).prop_map(
        |(times, [dropped, flags], severity_number, texts, body, attributes, ids)| {
            let ([time_unix_nano, observed_time_unix_nano], (trace_id, span_id, _)) = (times, ids);
            let [severity_text, event_name] = texts;
            LogRecord {
                time_unix_nano,
                observed_time_unix_nano,
                severity_number,
                severity_text,
                body,
                attributes,
                dropped_attributes_count: dropped,
                flags,
                trace_id,
                span_id,
                event_name,
            }
        },
    )
}

fn exemplar(doubles: &Doubles) -> impl Strategy<Value = Exemplar> + use<> {
    let value = prop_oneof![
        doubles.clone().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt),
    ];
    (attributes(doubles), time(), ids(), option::of(value)).prop_map(
        |(filtered_attributes, time_unix_nano, (trace_id, span_id, _), value)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    )
}

fn data(doubles: &Doubles) -> impl Strategy<Value = Data> + use<> {
    let number = option::of(prop_oneof![
        doubles.clone().prop_map(number_data_point::Value::AsDouble),
        integer().prop_map(number_data_point::Value::AsInt),
    ]);
    let bucket = (any::<i32>(), counts());
    let bucket =
        bucket.prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }).boxed();
    let of_all = (attributes(doubles), [time(), time()], any::<u64>(), any::<u32>());
    let of_histograms = (
        vec(exemplar(doubles), 0..2),
        [option::of(doubles.clone()), option::of(doubles.clone())],
        (counts(), vec(doubles.clone(), 0..15)),
        (any::<i32>(), option::of(bucket.clone()), option::of(bucket)),
    );
    (0..5_usize, of_all, of_histograms, number, 0..3_i32, any::<bool>()).prop_map(
        |(shape, of_all, of_histograms, value, aggregation_temporality, is_monotonic)| {
            let (attributes, [start_time_unix_nano, time_unix_nano], count, flags) = of_all;
            let (exemplars, [sum, min], (bucket_counts, explicit_bounds), exponential) =
                of_histograms;
            let (scale, positive, negative) = exponential;
            let point = NumberDataPoint {
                attributes: attributes.clone(),
                start_time_unix_nano,
                time_unix_nano,
                exemplars: exemplars.clone(),
                flags,
                value,
            };
            match shape {
                0 => Data::Gauge(Gauge { data_points: vec![point.clone(), point] }),
                1 => Data::Sum(Sum {
                    data_points: vec![point],
                    aggregation_temporality,
                    is_monotonic,
                }),
                2 => Data::Histogram(Histogram {
                    data_points: vec![HistogramDataPoint {
                        attributes,
                        start_time_unix_nano,
                        time_unix_nano,
                        count,
                        sum,
                        bucket_counts,
                        explicit_bounds,
                        exemplars,
                        flags,
                        min,
                        max: sum,
                    }],
                    aggregation_temporality,
                }),
                3 => Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: vec![ExponentialHistogramDataPoint {
                        attributes,
                        start_time_unix_nano,
                        time_unix_nano,
                        count,
                        sum,
                        scale,
                        zero_count: count,
                        positive,
                        negative,
                        flags,
                        exemplars,
                        min,
                        max: sum,
                        zero_threshold: sum.unwrap_or(0.0),
                    }],
                    aggregation_temporality,
                }),
                _ => Data::Summary(Summary {
                    data_points: vec![SummaryDataPoint {
                        attributes,
                        start_time_unix_nano,
                        time_unix_nano,
                        count,
                        sum: sum.unwrap_or(0.0),
                        quantile_values: explicit_bounds
                            .into_iter()
                            .map(|value| ValueAtQuantile { quantile: 0.5, value })
                            .collect(),
                        flags,
                    }],
                }),
            }
        },
    )
}
