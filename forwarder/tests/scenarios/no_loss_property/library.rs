//! Writes a request with the Rust library's own exporters.

use exporter::{InMemoryOutput, StdoutLogExporter, StdoutMetricExporter, StdoutSpanExporter};
use futures_util::FutureExt as _;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::common::v1::{self as common, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::{Logs, Metrics, Request, SignalKind, Traces};

/// The exporters of one function, which write to memory.
pub(crate) struct Library {
    output: Arc<InMemoryOutput>,
    spans: StdoutSpanExporter,
    logs: StdoutLogExporter,
    logger: SdkLogger,
    meters: SdkMeterProvider,
}

impl Library {
    pub(crate) fn new() -> Self {
        let output = Arc::new(InMemoryOutput::default());
        let service = KeyValue::new("service.name", "checkout");
        let resource = Resource::builder_empty().with_attribute(service).build();
        // Stored, so that the length of a line depends on the seed alone. Compressing would also take most of a schedule's time.
        let spans = StdoutSpanExporter::builder().with_output(output.clone());
        let mut spans = spans.with_compression_level(0).build();
        spans.set_resource(&resource);
        let logs = StdoutLogExporter::builder().with_output(output.clone());
        let mut logs = logs.with_compression_level(0).build();
        logs.set_resource(&resource);
        let metrics = StdoutMetricExporter::builder().with_output(output.clone());
        let metrics = metrics.with_compression_level(0).build();
        // It collects only when flushed.
        let reader = PeriodicReader::builder(metrics).with_interval(Duration::from_hours(10_000));
        let meters = SdkMeterProvider::builder().with_resource(resource);
        let meters = meters.with_reader(reader.build()).build();
        let logger = SdkLoggerProvider::builder().build().logger("test");
        Self { output, spans, logs, logger, meters }
    }

    /// The OTLP lines of the request's items, with this text added to each item.
    pub(crate) fn lines(&self, request: &Request, padding: &str) -> Vec<String> {
        match request.kind() {
            SignalKind::Traces => self.write_spans(request, padding),
            SignalKind::Logs => self.write_logs(request, padding),
            SignalKind::Metrics => self.write_points(request, padding),
        }
        self.output.take_lines()
    }

    fn write_spans(&self, request: &Request, padding: &str) {
        let traces = request.decode::<Traces>().unwrap().unwrap();
        let scopes = traces.resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
        let span = |span: opentelemetry_proto::tonic::trace::v1::Span| SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(span.trace_id.try_into().unwrap()),
                SpanId::from_bytes(span.span_id.try_into().unwrap()),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: span.name.into(),
            start_time: time(span.start_time_unix_nano),
            end_time: time(span.end_time_unix_nano),
            attributes: attributes(&span.attributes, padding),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("test").build(),
        };
        let batch = scopes.flat_map(|scope| scope.spans).map(span).collect();
        self.spans.export(batch).now_or_never().unwrap().unwrap();
    }

    fn write_logs(&self, request: &Request, padding: &str) {
        let logs = request.decode::<Logs>().unwrap().unwrap();
        let scopes = logs.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
        let record = |from: opentelemetry_proto::tonic::logs::v1::LogRecord| {
            let mut record = self.logger.create_log_record();
            record.set_timestamp(time(from.time_unix_nano));
            record.set_observed_timestamp(time(from.time_unix_nano));
            record.set_severity_number(Severity::Info);
            for KeyValue { key, value, .. } in attributes(&from.attributes, padding) {
                record.add_attribute(
                    key,
                    match value {
                        opentelemetry::Value::Bool(value) => AnyValue::Boolean(value),
                        value => AnyValue::String(value.as_str().into_owned().into()),
                    },
                );
            }
            if let Ok(trace_id) = from.trace_id.try_into() {
                let trace_id = TraceId::from_bytes(trace_id);
                record.set_trace_context(trace_id, SpanId::INVALID, None);
            }
            record
        };
        let records: Vec<_> = scopes.flat_map(|scope| scope.log_records).map(record).collect();
        let scope = InstrumentationScope::builder("test").build();
        let batch: Vec<_> = records.iter().map(|record| (record, &scope)).collect();
        self.logs.export(LogBatch::new(&batch)).now_or_never().unwrap().unwrap();
    }

    fn write_points(&self, request: &Request, padding: &str) {
        let metrics = request.decode::<Metrics>().unwrap().unwrap();
        let scopes = metrics.resource_metrics.into_iter().flat_map(|metrics| metrics.scope_metrics);
        let orders = self.meters.meter("test").f64_counter("orders").build();
        for data in scopes.flat_map(|scope| scope.metrics).filter_map(|metric| metric.data) {
            let metric::Data::Sum(sum) = data else { panic!("the schedules have sums only") };
            for point in sum.data_points {
                let Some(number_data_point::Value::AsDouble(value)) = point.value else { panic!() };
                orders.add(value, &attributes(&point.attributes, padding));
            }
        }
        self.meters.force_flush().unwrap();
    }
}

fn attributes(from: &[common::KeyValue], padding: &str) -> Vec<KeyValue> {
    let value = |value: &common::KeyValue| match value.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone().into()),
        Value::BoolValue(value) => Some(opentelemetry::Value::Bool(*value)),
        _ => None,
    };
    let padding = (!padding.is_empty()).then(|| KeyValue::new("padding", padding.to_owned()));
    let own = from.iter().map(|own| KeyValue::new(own.key.clone(), value(own).unwrap()));
    own.chain(padding).collect()
}

fn time(unix_nano: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(unix_nano)
}
