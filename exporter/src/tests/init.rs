//! The configuration in code: the environment overrides code, and code the default.

use super::driver::{Function, Own, Written, event};
use super::triggers::PARENT;
use crate::export::exporters::StdoutMetricExporter;
use crate::export::unix_nanos;
use crate::init::telemetry_config::TelemetryConfigBuilder;
use crate::output::InMemoryOutput;
use lambda_runtime::{Error, LambdaEvent};
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{IdGenerator, Sampler, SdkTracerProvider, SpanData, SpanExporter};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// The calls to parts of the application, in order.
type Seen = Arc<Mutex<Vec<String>>>;

fn own(name: &'static str, seen: &Seen) -> Own<impl Fn(String) + Send + Sync + 'static> {
    let seen = Arc::clone(seen);
    Own(move |call| seen.lock().unwrap().push(format!("{name} {call}")))
}

fn take(seen: &Seen) -> Vec<String> {
    std::mem::take(&mut seen.lock().unwrap())
}

impl<F: Fn(String) + Send + Sync> SpanExporter for Own<F> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        (self.0)(format!("exports {}", batch.len()));
        Ok(())
    }
}

impl<F: Fn(String) + Send + Sync> LogProcessor for Own<F> {
    fn emit(&self, _: &mut SdkLogRecord, _: &InstrumentationScope) {
        (self.0)("sees a record".to_owned());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    tracing::info_span!("child").in_scope(|| tracing::info!("stored"));
    Ok(event.payload)
}

/// One invocation of a function with this configuration.
fn invoke(
    variables: &[(&str, &str)],
    change: impl FnOnce(TelemetryConfigBuilder) -> TelemetryConfigBuilder,
) -> (Function, Written) {
    let function = Function::with(variables, change);
    let orders = function.completion.meter("orders");
    orders.u64_counter("orders").build().add(1, &[KeyValue::new("order", 7)]);
    function.handle(event(json!({})), handle).unwrap();
    let written = function.written();
    (function, written)
}

#[test]
fn additional_span_processors_run_first_and_others_in_given_order() {
    let seen = Seen::default();
    let own = |name| own(name, &seen);
    let (_function, written) = invoke(&[], |config| {
        config
            .with_span_processor(own("second"))
            .with_additional_span_processor(own("first"))
            .with_span_exporter(own("exporter"))
            .with_span_processor(own("third"))
    });
    assert_eq!(
        take(&seen),
        [
            "first sees child",
            "second sees child",
            "third sees child",
            "first sees orders",
            "second sees orders",
            "third sees orders",
            "first is flushed",
            "second is flushed",
            "exporter exports 2",
            "third is flushed",
        ]
    );
    assert_eq!((written.spans.len(), written.logs.len()), (0, 1), "they are in place of the lines");
}

#[test]
fn the_sampler_of_the_environment_wins_over_the_one_of_code() {
    let sampled = |variables: &[(&str, &str)], sampler: Option<Sampler>| {
        let (_, written) = invoke(variables, |config| match sampler {
            Some(sampler) => config.with_sampler(sampler),
            None => config,
        });
        written.spans.len()
    };
    assert_eq!(sampled(&[], None), 2);
    assert_eq!(sampled(&[], Some(Sampler::AlwaysOff)), 0);
    assert_eq!(sampled(&[("OTEL_TRACES_SAMPLER", "always_on")], Some(Sampler::AlwaysOff)), 2);
}

#[test]
fn otel_propagators_overrides_the_propagators_of_code() {
    let parent = |variables: &[(&str, &str)], named: &str| {
        let function = Function::with(variables, |config| config.with_named_propagator(named));
        let event = event(json!({ "headers": { "traceparent": PARENT } }));
        function.handle(event, handle).unwrap();
        let written = function.written();
        !written.span_named("orders").parent_span_id.is_empty()
    };
    assert!(parent(&[], "tracecontext"));
    assert!(!parent(&[], "xray"));
    assert!(parent(&[("OTEL_PROPAGATORS", "tracecontext")], "xray"));
    assert!(!parent(&[("OTEL_PROPAGATORS", "none")], "tracecontext"));
}

#[derive(Debug)]
struct Counting;

impl IdGenerator for Counting {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from(7)
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(9)
    }
}

#[test]
fn a_custom_id_generator_creates_the_ids() {
    let (_, written) = invoke(&[], |config| config.with_id_generator(Counting));
    assert_eq!(written.span_named("child").span_id, [0, 0, 0, 0, 0, 0, 0, 9]);
}

#[test]
fn without_the_log_bridge_only_explicit_records_are_written() {
    let (function, written) = invoke(&[], |config| config.with_log_bridge(false));
    assert_eq!((written.spans.len(), written.logs.len()), (2, 0));
    let logger = function.completion.logger_provider().logger("own");
    let mut record = logger.create_log_record();
    record.set_body(AnyValue::from("stored"));
    logger.emit(record);
    function.completion.complete();
    assert_eq!(function.written().logs.len(), 1);
}

#[test]
fn a_log_filter_variable_of_code_precedes_rust_log() {
    let variables = [("STOCK_LOG", "warn"), ("RUST_LOG", "trace")];
    let (_, written) = invoke(&variables, |config| config.with_log_filter_variable("STOCK_LOG"));
    assert_eq!((written.spans.len(), written.logs.len()), (2, 0));
}

#[test]
fn existing_providers_are_used_and_flushed() {
    let seen = Seen::default();
    let tracer_provider =
        SdkTracerProvider::builder().with_span_processor(own("theirs", &seen)).build();
    let logger_provider =
        SdkLoggerProvider::builder().with_log_processor(own("theirs", &seen)).build();
    let meter_provider = SdkMeterProvider::builder().build();
    let (function, written) = invoke(&[], |config| {
        config
            .with_tracer_provider(tracer_provider)
            .with_logger_provider(logger_provider)
            .with_meter_provider(meter_provider)
            .with_sampler(Sampler::AlwaysOff)
    });
    assert_eq!(
        take(&seen),
        ["theirs sees a record", "theirs sees child", "theirs sees orders", "theirs is flushed"]
    );
    assert_eq!(written.lines.len(), 0);
    drop(function);
}

#[test]
fn a_log_processor_replaces_the_lines_and_a_disabled_sdk_calls_no_processors() {
    let seen = Seen::default();
    let own = || own("own", &seen);
    let (_, written) = invoke(&[], |config| config.with_log_processor(own()));
    assert_eq!((take(&seen).len(), written.logs.len()), (1, 0), "it is in place of the lines");
    let (_, written) = invoke(&[("OTEL_SDK_DISABLED", "true")], |config| {
        config.with_span_processor(own()).with_log_processor(own())
    });
    assert_eq!((take(&seen).len(), written.lines.len()), (0, 0));
}

#[test]
fn a_periodic_reader_is_flushed_with_the_invocation() {
    let output = Arc::new(InMemoryOutput::default());
    let exporter = StdoutMetricExporter::builder().with_output(Arc::clone(&output) as _).build();
    let reader = PeriodicReader::builder(exporter).build();
    let (_, written) = invoke(&[], |config| config.with_metric_reader(reader));
    let theirs = Written::read(output.take_lines());
    assert_eq!((theirs.metrics.len(), written.metrics.len()), (1, 0));
}

/// The first invocation may come hours later, or in an environment that was restored from a snapshot.
#[test]
fn telemetry_of_an_early_init_is_written_when_the_handler_is_made() {
    for (initialization, written) in [
        ("on-demand", [0, 0, 0]),
        ("provisioned-concurrency", [1, 1, 1]),
        ("snap-start", [1, 1, 1]),
        ("lambda-managed-instances", [1, 1, 1]),
    ] {
        let variables = [("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)];
        let function = Function::with_variables(&variables);
        let counter = function.completion.meter("test").u64_counter("loads").build();
        tracing::info_span!("load_config").in_scope(|| tracing::info!("loaded"));
        counter.add(1, &[]);
        let handler = crate::lambda_otel_lite::create_traced_handler(
            "orders",
            function.completion.clone(),
            handle,
        );
        let of_init = function.written();
        let counts = [of_init.spans.len(), of_init.logs.len(), of_init.metrics.len()];
        assert_eq!(counts, written, "{initialization}");
        let restored_at = unix_nanos(opentelemetry::time::now());
        counter.add(1, &[]);
        drop(handler);
        function.completion.telemetry.begin(std::time::UNIX_EPOCH);
        counter.add(1, &[]);
        function.completion.complete();
        let starts = function.written().metrics.into_iter().map(|metric| match metric.data {
            Some(Data::Sum(sum)) => sum.data_points[0].start_time_unix_nano,
            other => panic!("{other:?}"),
        });
        let is_after_restore: Vec<bool> = starts.map(|start| start >= restored_at).collect();
        let expected: &[bool] =
            if initialization == "snap-start" { &[false, true] } else { &[false] };
        assert_eq!(is_after_restore, expected, "{initialization}");
    }
}
