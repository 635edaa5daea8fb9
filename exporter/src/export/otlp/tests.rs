//! Compares our bytes with opentelemetry-proto's own `transform` of the same data.

use super::EncodedResource;
use super::{logs::logs, metrics::metrics, traces::traces};
use crate::config::RecordLimits;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, Value};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::transform::{
    common::tonic::ResourceAttributesWithSchema, logs::tonic::group_logs_by_resource_and_scope,
    trace::tonic::group_spans_by_resource_and_scope,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream,
    Temporality,
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prost::Message;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, UNIX_EPOCH};

/// No limits of log records.
const NO_LIMITS: RecordLimits = RecordLimits { attributes: usize::MAX, value_length: usize::MAX };

/// As JSON, with arrays of attributes and scopes sorted, because their order is random in both.
fn canonical<M: serde::Serialize>(message: &M) -> String {
    fn sort(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(values) => values.iter_mut().for_each(sort),
            serde_json::Value::Object(fields) => {
                for (name, field) in fields {
                    sort(field);
                    let is_unordered =
                        ["attributes", "filteredAttributes", "values", "scopeLogs", "scopeSpans"]
                            .contains(&name.as_str());
                    if let (true, serde_json::Value::Array(values)) = (is_unordered, field) {
                        values.sort_by_key(ToString::to_string);
                    }
                }
            }
            _ => {}
        }
    }
    let mut json = serde_json::to_value(message).unwrap();
    sort(&mut json);
    serde_json::to_string_pretty(&json).unwrap()
}

fn assert_same<M: Message + Default + serde::Serialize>(ours: &[u8], theirs: &M) {
    let decoded = M::decode(ours).unwrap();
    assert_eq!(canonical(&decoded), canonical(theirs));
    // JSON omits some zero fields; the sizes agree only if nothing else is missing.
    assert_eq!(decoded.encoded_len(), theirs.encoded_len());
}

fn resource() -> Resource {
    Resource::builder_empty()
        .with_schema_url(
            [
                KeyValue::new("service.name", "orders"),
                KeyValue::new("faas.max_memory", 134_217_728),
                KeyValue::new(
                    "aws.log.group.names",
                    Value::Array(Array::String(vec!["/aws/lambda/orders".into()])),
                ),
            ],
            "https://opentelemetry.io/schemas/1.44.0",
        )
        .build()
}

fn scopes() -> [InstrumentationScope; 3] {
    [
        InstrumentationScope::builder("first")
            .with_version("1.2")
            .with_schema_url("https://example.com/schema")
            .with_attributes([KeyValue::new("library.language", "rust")])
            .build(),
        InstrumentationScope::builder("first").with_version("1.3").build(),
        InstrumentationScope::builder("").build(),
    ]
}

fn rich_attributes() -> Vec<KeyValue> {
    vec![
        KeyValue::new("text", "grüße"),
        KeyValue::new("empty", ""),
        KeyValue::new("yes", true),
        KeyValue::new("no", false),
        KeyValue::new("zero", 0),
        KeyValue::new("negative", -7),
        KeyValue::new("most", i64::MAX),
        KeyValue::new("ratio", 0.5),
        KeyValue::new("nothing", 0.0),
        KeyValue::new("bools", Value::Array(Array::Bool(vec![true, false]))),
        KeyValue::new("ints", Value::Array(Array::I64(vec![0, -1, 300]))),
        KeyValue::new("floats", Value::Array(Array::F64(vec![0.0, -1.5]))),
        KeyValue::new("texts", Value::Array(Array::String(vec!["a".into(), "".into()]))),
        KeyValue::new("none", Value::Array(Array::I64(vec![]))),
        KeyValue::new("long", "x".repeat(300)),
    ]
}

fn context(id: u64, flags: u8, is_remote: bool, state: &[(&str, &str)]) -> SpanContext {
    let state = TraceState::from_key_value(state.iter().copied()).unwrap();
    SpanContext::new(
        TraceId::from(u128::from(id) << 64 | 7),
        SpanId::from(id),
        TraceFlags::new(flags),
        is_remote,
        state,
    )
}

fn span(id: u64, scope: InstrumentationScope) -> SpanData {
    SpanData {
        span_context: context(id, 1, false, &[]),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "span".into(),
        start_time: UNIX_EPOCH + Duration::from_nanos(1_790_000_000_000_000_001),
        end_time: UNIX_EPOCH + Duration::from_nanos(1_790_000_000_500_000_002),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope,
    }
}

/// A span in which every field has a value.
fn rich_span(id: u64, scope: InstrumentationScope) -> SpanData {
    let mut span = span(id, scope);
    span.span_context = context(id, 3, false, &[("vendor", "1"), ("other", "2")]);
    span.parent_span_id = SpanId::from(99);
    span.parent_span_is_remote = true;
    span.attributes = rich_attributes();
    span.dropped_attributes_count = 3;
    let time = span.start_time;
    span.events.events = vec![
        Event::new("full", time, rich_attributes(), 300),
        Event::new("", UNIX_EPOCH, Vec::new(), 0),
        Event::new("before 1970", UNIX_EPOCH - Duration::from_secs(1), Vec::new(), 0),
    ];
    span.events.dropped_count = 4;
    span.links.links = vec![
        Link::new(context(3, 1, true, &[("a", "b")]), rich_attributes(), 2),
        Link::new(context(4, 0, false, &[]), Vec::new(), 0),
    ];
    span.links.dropped_count = 5;
    span.status = Status::error("it broke");
    span
}

#[test]
fn the_encoding_of_spans_matches_opentelemetry_proto() {
    let [first, second, third] = scopes();
    let mut spans = vec![rich_span(1, first.clone()), span(2, second), rich_span(3, third)];
    for (id, kind) in [SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer]
        .into_iter()
        .enumerate()
    {
        let mut span = span(10 + id as u64, first.clone());
        span.span_kind = kind;
        span.status = Status::Ok;
        span.parent_span_id = SpanId::from(1);
        spans.push(span);
    }
    for resource in [resource(), Resource::builder_empty().build()] {
        let theirs = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(
                spans.clone(),
                &ResourceAttributesWithSchema::from(&resource),
            ),
        };
        assert_same(&traces(&EncodedResource::new(&resource, None), &spans, usize::MAX), &theirs);
    }
    assert_eq!(traces(&EncodedResource::new(&resource(), None), &[], usize::MAX), [0; 0]);
}

fn records() -> Vec<(SdkLogRecord, InstrumentationScope)> {
    let provider = SdkLoggerProvider::builder().build();
    let logger = provider.logger("test");
    let observed = UNIX_EPOCH + Duration::from_nanos(1_790_000_000_000_000_001);
    let values = [
        AnyValue::Int(-1),
        AnyValue::Int(0),
        AnyValue::Double(0.0),
        AnyValue::String("text".into()),
        AnyValue::String("".into()),
        AnyValue::Boolean(false),
        AnyValue::Bytes(Box::new(vec![0, 255])),
        AnyValue::Bytes(Box::default()),
        AnyValue::ListAny(Box::new(vec![AnyValue::Int(1), AnyValue::String("a".into())])),
        AnyValue::Map(Box::new(HashMap::from([
            (Key::new("inner"), AnyValue::ListAny(Box::new(vec![AnyValue::Boolean(true)]))),
            (Key::new("other"), AnyValue::Double(1.5)),
        ]))),
    ];
    let mut records = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let mut record = logger.create_log_record();
        record.set_observed_timestamp(observed);
        record.set_body(value.clone());
        record.add_attribute("value", value);
        if index % 2 == 0 {
            record.set_timestamp(observed + Duration::from_secs(1));
            record.set_target(if index % 4 == 0 { "orders::store" } else { "orders" });
            record.set_event_name("order.stored");
            record.set_severity_text("WARN");
            record.set_trace_context(TraceId::from(7), SpanId::from(9), Some(TraceFlags::SAMPLED));
        } else if index % 3 == 0 {
            record.set_trace_context(TraceId::from(7), SpanId::from(9), None);
        }
        records.push((record, scopes()[index % 3].clone()));
    }
    for severity in [Severity::Trace, Severity::Debug4, Severity::Info, Severity::Fatal4] {
        let mut record = logger.create_log_record();
        record.set_observed_timestamp(observed);
        record.set_severity_number(severity);
        records.push((record, scopes()[0].clone()));
    }
    records
}

#[test]
fn the_encoding_of_log_records_matches_opentelemetry_proto() {
    let records = records();
    let borrowed: Vec<_> = records.iter().map(|(record, scope)| (record, scope)).collect();
    let batch = LogBatch::new(&borrowed);
    let theirs = ExportLogsServiceRequest {
        resource_logs: group_logs_by_resource_and_scope(
            &batch,
            &ResourceAttributesWithSchema::from(&resource()),
        ),
    };
    let ours = logs(&EncodedResource::new(&resource(), None), batch.iter(), NO_LIMITS);
    assert_same(&ours, &theirs);
    let none = logs(&EncodedResource::default(), std::iter::empty(), NO_LIMITS);
    assert_eq!(none, [0; 0]);
}

fn collected(temporality: Temporality) -> ResourceMetrics {
    let reader = Arc::new(ManualReader::builder().with_temporality(temporality).build());
    let provider = SdkMeterProvider::builder()
        .with_resource(resource())
        .with_reader(Shared(Arc::clone(&reader)))
        .with_view(|instrument: &Instrument| {
            (instrument.name() == "exponential").then(|| {
                let aggregation = Aggregation::Base2ExponentialHistogram {
                    max_size: 160,
                    max_scale: 20,
                    record_min_max: true,
                };
                Stream::builder().with_aggregation(aggregation).build().unwrap()
            })
        })
        .build();
    let [first, second, _] = scopes();
    let meter = provider.meter_with_scope(first);
    let attributes = rich_attributes();
    meter
        .u64_counter("counter")
        .with_unit("{item}")
        .with_description("items")
        .build()
        .add(3, &attributes);
    meter.f64_counter("float_counter").build().add(0.0, &[]);
    meter.i64_up_down_counter("up_and_down").build().add(-3, &[]);
    meter.f64_gauge("gauge").build().record(-1.5, &attributes);
    meter.i64_gauge("zero_gauge").build().record(0, &[]);
    let histogram = meter.f64_histogram("histogram").with_unit("s").build();
    let other = provider.meter_with_scope(second);
    let whole = other.u64_histogram("whole").with_boundaries(vec![]).build();
    let exponential = other.f64_histogram("exponential").build();
    for value in [0.0, 0.25, 3.0, 20_000.0, 5.5] {
        histogram.record(value, &attributes);
        exponential.record(value, &[]);
        exponential.record(-value, &[]);
    }
    whole.record(12, &[]);
    let mut metrics = ResourceMetrics::default();
    reader.collect(&mut metrics).unwrap();
    metrics
}

#[derive(Debug)]
struct Shared(Arc<ManualReader>);

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }
    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

#[test]
fn the_encoding_of_metrics_matches_opentelemetry_proto() {
    for temporality in [Temporality::Delta, Temporality::Cumulative, Temporality::LowMemory] {
        let collected = collected(temporality);
        let theirs = ExportMetricsServiceRequest::from(&collected);
        let found: usize =
            theirs.resource_metrics[0].scope_metrics.iter().map(|scope| scope.metrics.len()).sum();
        assert_eq!(found, 8);
        let resource = EncodedResource::new(collected.resource(), None);
        assert_same(&metrics(&resource, &collected), &theirs);
    }
}

#[test]
fn equal_resources_give_equal_bytes() {
    // Each resource has a hash map with its own random order.
    let encoded = || EncodedResource::new(&resource(), None);
    let bytes = || traces(&encoded(), &[span(1, scopes()[0].clone())], usize::MAX);
    let first = bytes();
    assert!((0..20).all(|_| bytes() == first));
    assert_eq!(encoded().service_name, "orders");
}

#[test]
fn the_function_name_replaces_an_unknown_service_name() {
    for (name, function, expected) in [
        (Some("unknown_service:bootstrap"), Some("orders"), "orders"),
        (None, Some("orders"), "orders"),
        (Some("shop"), Some("orders"), "shop"),
        (Some("unknown_service:bootstrap"), None, "unknown_service:bootstrap"),
        (None, None, ""),
    ] {
        let given = name.map(|name| KeyValue::new("service.name", name));
        let resource = Resource::builder_empty().with_attributes(given).build();
        let encoded = EncodedResource::new(&resource, function);
        assert_eq!(encoded.service_name, expected);
        let name = (!expected.is_empty()).then(|| KeyValue::new("service.name", expected));
        let named = Resource::builder_empty().with_attributes(name).build();
        assert_eq!(encoded.message, EncodedResource::new(&named, None).message);
    }
}
