//! The configuration of telemetry in code.

use super::providers::ProviderParts;
use crate::config::ProcessorMode;
use crate::invocations::Invocations;
use crate::output::Output;
use crate::propagation::{self, BoxedPropagator};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogProcessor, LoggerProviderBuilder, SdkLoggerProvider};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{Instrument, MeterProviderBuilder, SdkMeterProvider, Stream};
use opentelemetry_sdk::trace::{
    IdGenerator, SdkTracerProvider, ShouldSample, SpanExporter, SpanProcessor,
    TracerProviderBuilder,
};
use std::fmt;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;

/// The configuration of telemetry; `TelemetryConfig::default()` suits most functions.
///
/// Variables override code, and code overrides defaults.
///
/// ```
/// use lambda_otlp_exporter::TelemetryConfig;
/// use lambda_otlp_exporter::opentelemetry::KeyValue;
/// use lambda_otlp_exporter::opentelemetry_sdk::Resource;
///
/// let resource =
///     Resource::builder_empty().with_attributes([KeyValue::new("service.version", "1.2")]).build();
/// let config = TelemetryConfig::builder().with_resource(resource).with_fmt_layer(true).build();
/// ```
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "five things that are there or not")]
pub struct TelemetryConfig {
    pub(super) traces: Traces,
    pub(super) logs: Logs,
    pub(super) metrics: Metrics,
    pub(super) propagators: Vec<BoxedPropagator>,
    pub(super) resource: Option<Resource>,
    pub(super) fmt_layer: bool,
    pub(super) without_log_bridge: bool,
    pub(super) without_global_providers: bool,
    pub(super) without_global_subscriber: bool,
    pub(super) without_sigterm_handler: bool,
    pub(super) log_filter_variable: Option<String>,
    pub(super) processor_mode: Option<ProcessorMode>,
    pub(super) max_level: Option<LevelFilter>,
    pub(super) output: Option<Arc<dyn Output>>,
    /// Tests have their own.
    pub(crate) invocations: Option<Arc<Invocations>>,
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryConfig").finish_non_exhaustive()
    }
}

/// The SDK's builders accept processors, readers and views by type, one by one; this is the call that adds one.
pub(super) type Add<B> = Box<dyn FnOnce(B) -> B + Send>;
/// The same of span processors, of which one may be ours with the application's exporter.
pub(super) type AddSpans =
    Box<dyn FnOnce(TracerProviderBuilder, &ProviderParts<'_>) -> TracerProviderBuilder + Send>;

/// Creation and export of spans.
#[derive(Default)]
pub(super) struct Traces {
    pub(super) provider: Option<SdkTracerProvider>,
    pub(super) additional_processors: Vec<AddSpans>,
    pub(super) processors: Vec<AddSpans>,
    pub(super) id_generator: Option<Box<dyn IdGenerator>>,
    pub(super) sampler: Option<Box<dyn ShouldSample>>,
}

impl Traces {
    /// `true` if the application's own, possibly asynchronous, processors or exporters receive spans.
    pub(super) fn is_of_application(&self) -> bool {
        let processors = self.additional_processors.len() + self.processors.len();
        self.provider.is_some() || processors > 0
    }
}

#[derive(Default)]
pub(super) struct Logs {
    pub(super) provider: Option<SdkLoggerProvider>,
    pub(super) additional_processors: Vec<Add<LoggerProviderBuilder>>,
    pub(super) processors: Vec<Add<LoggerProviderBuilder>>,
}

/// Aggregation and export of measurements.
#[derive(Default)]
pub(super) struct Metrics {
    pub(super) provider: Option<SdkMeterProvider>,
    pub(super) views: Vec<Add<MeterProviderBuilder>>,
    pub(super) readers: Vec<Add<MeterProviderBuilder>>,
}

impl TelemetryConfig {
    /// Creates a builder with the defaults.
    #[must_use]
    pub fn builder() -> TelemetryConfigBuilder {
        TelemetryConfigBuilder::default()
    }

    /// `true` if parts of the application, whose exporters may be asynchronous, receive a signal.
    pub(super) fn has_application_processors(&self) -> bool {
        let Self { traces, logs, metrics, .. } = self;
        traces.is_of_application()
            || logs.provider.is_some()
            || logs.additional_processors.len() + logs.processors.len() > 0
            || metrics.provider.is_some()
            || !metrics.readers.is_empty()
    }
}

/// Builds a [`TelemetryConfig`].
#[derive(Debug, Default)]
pub struct TelemetryConfigBuilder {
    config: TelemetryConfig,
}

impl TelemetryConfigBuilder {
    setters! { |builder|
        /// Uses this span processor instead of the one that writes lines. Several processors, and exporters added by
        /// [`with_span_exporter`](Self::with_span_exporter), receive each span in the order they were added.
        with_span_processor(processor: impl SpanProcessor + 'static) => {
            let add = |builder: TracerProviderBuilder, _: &ProviderParts<'_>| builder.with_span_processor(processor);
            builder.config.traces.processors.push(Box::new(add));
        };
        /// Adds a span processor that receives each span before the exporting ones, in the order they were added.
        with_additional_span_processor(processor: impl SpanProcessor + 'static) => {
            let add = |builder: TracerProviderBuilder, _: &ProviderParts<'_>| builder.with_span_processor(processor);
            builder.config.traces.additional_processors.push(Box::new(add));
        };
        /// Exports spans with this exporter at the end of the invocation, instead of writing lines.
        with_span_exporter(exporter: impl SpanExporter + 'static) => {
            let add = |builder: TracerProviderBuilder, parts: &ProviderParts<'_>| builder.with_span_processor(parts.span_processor(exporter));
            builder.config.traces.processors.push(Box::new(add));
        };
        /// Creates span ids, and the trace ids of spans outside of invocations, with this generator.
        ///
        /// An invocation without a parent has the trace id of Lambda's X-Ray header or one derived from the request id, as the
        /// forwarder's and the layer's spans of it.
        with_id_generator(id_generator: impl IdGenerator + 'static) => builder.config.traces.id_generator = Some(Box::new(id_generator));
        /// Records the traces that this sampler chooses; `OTEL_TRACES_SAMPLER` wins.
        with_sampler(sampler: impl ShouldSample + 'static) => builder.config.traces.sampler = Some(Box::new(sampler));
        /// Uses an existing tracer provider with its own processors, sampler, ids and resource; this builder's and the variables'
        /// options for them have no effect. It is flushed at the end of the invocation, and does not become the global provider.
        with_tracer_provider(provider: SdkTracerProvider) => builder.config.traces.provider = Some(provider);
        /// Reads parents with this propagator; can be repeated. `OTEL_PROPAGATORS` overrides it.
        with_propagator(propagator: impl TextMapPropagator + Send + Sync + 'static) => {
            builder.config.propagators.push(Box::new(propagator));
        };
        /// Like [`with_propagator`](Self::with_propagator), by a name of `OTEL_PROPAGATORS`. An unknown name is reported on stderr.
        with_named_propagator(name: &str) => builder.config.propagators.extend(propagation::named(name));
        /// Uses this log processor instead of ours, which writes lines at the end of the invocation; can be repeated.
        with_log_processor(processor: impl LogProcessor + 'static) => {
            builder.config.logs.processors.push(Box::new(|builder| builder.with_log_processor(processor)));
        };
        /// Adds a log processor that receives each record before it is written, and may change it.
        with_additional_log_processor(processor: impl LogProcessor + 'static) => {
            builder.config.logs.additional_processors.push(Box::new(|builder| builder.with_log_processor(processor)));
        };
        /// Sets whether `tracing` events become log records. On by default.
        with_log_bridge(bridge: bool) => builder.config.without_log_bridge = !bridge;
        /// Uses an existing logger provider, like [`with_tracer_provider`](Self::with_tracer_provider).
        with_logger_provider(provider: SdkLoggerProvider) => builder.config.logs.provider = Some(provider);
        /// Aggregates instruments with this view (OpenTelemetry specification, "View"); can be repeated.
        with_view(view: impl Fn(&Instrument) -> Option<Stream> + Send + Sync + 'static) => {
            builder.config.metrics.views.push(Box::new(|builder| builder.with_view(view)));
        };
        /// Uses this metric reader instead of ours, which writes lines at the end of the invocation; can be repeated. A reader with
        /// a timer stops while Lambda freezes the environment.
        with_metric_reader(reader: impl MetricReader) => {
            builder.config.metrics.readers.push(Box::new(|builder| builder.with_reader(reader)));
        };
        /// Uses an existing meter provider, like [`with_tracer_provider`](Self::with_tracer_provider).
        with_meter_provider(provider: SdkMeterProvider) => builder.config.metrics.provider = Some(provider);
        /// Adds these attributes to Lambda's. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` override them.
        with_resource(resource: Resource) => builder.config.resource = Some(resource);
        /// Sets whether `tracing` events are printed on stdout instead of being written as OTLP log records. Off by default;
        /// `LAMBDA_TRACING_ENABLE_FMT_LAYER` overrides it.
        with_fmt_layer(print: bool) => builder.config.fmt_layer = print;
        /// Sets the variable that filters records and printed events, instead of `RUST_LOG`.
        with_log_filter_variable(name: impl Into<String>) => builder.config.log_filter_variable = Some(name.into());
        /// Sets whether the new providers and the propagators replace those in `opentelemetry::global`. On by default.
        with_global_providers(global: bool) => builder.config.without_global_providers = !global;
        /// Sets whether a `tracing` subscriber is installed. On by default; an installed subscriber stays.
        with_global_subscriber(install: bool) => builder.config.without_global_subscriber = !install;
        /// Sets whether SIGTERM in Lambda writes the rest and then ends the process. On by default.
        ///
        /// A process with a shutdown hook, such as `lambda_runtime`'s, passes `false`, and calls
        /// [`TelemetryCompletionHandler::shutdown`](crate::TelemetryCompletionHandler::shutdown) in the hook.
        with_sigterm_handler(install: bool) => builder.config.without_sigterm_handler = !install;
        /// Sets when telemetry is written. `LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE` overrides it.
        with_processor_mode(mode: ProcessorMode) => builder.config.processor_mode = Some(mode);
        /// Sets the most verbose `tracing` level of spans and log records; `INFO` by default. `RUST_LOG` replaces it for log records,
        /// and adds spans. Spans and verbose events of AWS's SDK are recorded only if `RUST_LOG` names their crate.
        with_max_level(level: LevelFilter) => builder.config.max_level = Some(level);
        /// Writes lines to this output instead of stdout.
        with_output(output: Arc<dyn Output>) => builder.config.output = Some(output);
    }

    /// Builds the configuration.
    #[must_use]
    pub fn build(self) -> TelemetryConfig {
        self.config
    }
}
