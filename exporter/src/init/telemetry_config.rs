//! What code says about how telemetry is set up.

#[cfg(test)]
use crate::clock::Clock;
use crate::config::processor_mode::ProcessorMode;
use crate::output::{Output, stderr};
use crate::telemetry::propagation::{self, BoxedPropagator, Propagation};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, ShouldSample, SpanProcessor, TracerProviderBuilder,
};
use std::fmt;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;

/// How telemetry is set up; `TelemetryConfig::default()` is right for most functions.
///
/// ```
/// use lambda_otlp_exporter::TelemetryConfig;
/// use opentelemetry::KeyValue;
/// use opentelemetry_sdk::Resource;
///
/// let resource =
///     Resource::builder_empty().with_attributes([KeyValue::new("service.version", "1.2")]).build();
/// let config = TelemetryConfig::builder().resource(resource).enable_fmt_layer(true).build();
/// ```
#[derive(Debug)]
pub struct TelemetryConfig {
    pub(super) additional_processors: Vec<AddProcessor>,
    pub(super) processors: Vec<AddProcessor>,
    pub(super) propagators: Vec<BoxedPropagator>,
    pub(super) id_generator: Box<dyn IdGenerator>,
    pub(super) sampler: Option<Box<dyn ShouldSample>>,
    pub(super) resource: Option<Resource>,
    pub(super) enable_fmt_layer: bool,
    pub(super) set_global_provider: bool,
    pub(super) install_subscriber: bool,
    pub(super) env_var_name: Option<String>,
    pub(super) processor_mode: Option<ProcessorMode>,
    pub(super) max_level: LevelFilter,
    pub(super) output: Option<Arc<dyn Output>>,
    #[cfg(test)]
    pub(crate) clock: Option<Clock>,
}

/// The SDK takes processors by type, one by one; this remembers how to add one.
pub(super) struct AddProcessor(
    pub(super) Box<dyn FnOnce(TracerProviderBuilder) -> TracerProviderBuilder + Send>,
);

impl fmt::Debug for AddProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanProcessor")
    }
}

impl AddProcessor {
    fn new(processor: impl SpanProcessor + 'static) -> Self {
        Self(Box::new(move |builder| builder.with_span_processor(processor)))
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            additional_processors: Vec::new(),
            processors: Vec::new(),
            propagators: Vec::new(),
            id_generator: Box::new(RandomIdGenerator::default()),
            sampler: None,
            resource: None,
            enable_fmt_layer: false,
            set_global_provider: true,
            install_subscriber: true,
            env_var_name: None,
            processor_mode: None,
            max_level: LevelFilter::INFO,
            output: None,
            #[cfg(test)]
            clock: None,
        }
    }
}

impl TelemetryConfig {
    /// A builder with the defaults.
    #[must_use]
    pub fn builder() -> TelemetryConfigBuilder {
        TelemetryConfigBuilder::default()
    }
}

/// Builds a [`TelemetryConfig`].
#[derive(Debug, Default)]
pub struct TelemetryConfigBuilder {
    config: TelemetryConfig,
}

impl TelemetryConfigBuilder {
    /// Uses this span processor in place of the [`LambdaSpanProcessor`](crate::LambdaSpanProcessor); several may be
    /// given.
    #[must_use]
    pub fn with_span_processor(mut self, processor: impl SpanProcessor + 'static) -> Self {
        self.config.processors.push(AddProcessor::new(processor));
        self
    }

    /// Adds a span processor that sees each span before those that export it.
    #[must_use]
    pub fn with_additional_span_processor(
        mut self,
        processor: impl SpanProcessor + 'static,
    ) -> Self {
        self.config.additional_processors.push(AddProcessor::new(processor));
        self
    }

    /// Reads parents with this propagator, and others given; `OTEL_PROPAGATORS` wins.
    #[must_use]
    pub fn with_propagator(
        mut self,
        propagator: impl TextMapPropagator + Send + Sync + 'static,
    ) -> Self {
        self.config.propagators.push(Box::new(propagator));
        self
    }

    /// Like [`with_propagator`](Self::with_propagator), by a name of `OTEL_PROPAGATORS`. An unknown name is reported on
    /// stderr.
    #[must_use]
    pub fn with_named_propagator(mut self, name: &str) -> Self {
        match propagation::named(name) {
            Some(propagator) => self.config.propagators.push(propagator),
            None if name == "none" => {
                self.config.propagators.push(Box::new(Propagation::new(Vec::new())));
            }
            None => stderr::warn(&format!("unknown propagator {name:?}, it is left out")),
        }
        self
    }

    /// Makes ids with this generator. The trace id of an invocation without a parent is not asked of it.
    #[must_use]
    pub fn with_id_generator(mut self, id_generator: impl IdGenerator + 'static) -> Self {
        self.config.id_generator = Box::new(id_generator);
        self
    }

    /// Records the traces that this sampler chooses; `OTEL_TRACES_SAMPLER` wins.
    #[must_use]
    pub fn with_sampler(mut self, sampler: impl ShouldSample + 'static) -> Self {
        self.config.sampler = Some(Box::new(sampler));
        self
    }

    /// Adds these attributes to Lambda's; `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` win.
    #[must_use]
    pub fn resource(mut self, resource: Resource) -> Self {
        self.config.resource = Some(resource);
        self
    }

    /// Prints `tracing` events on stdout instead of writing them as OTLP log records; `LAMBDA_TRACING_ENABLE_FMT_LAYER` wins. Off by default.
    #[must_use]
    pub fn enable_fmt_layer(mut self, enable: bool) -> Self {
        self.config.enable_fmt_layer = enable;
        self
    }

    /// Whether the providers and propagators become the global ones. On by default.
    #[must_use]
    pub fn set_global_provider(mut self, set: bool) -> Self {
        self.config.set_global_provider = set;
        self
    }

    /// Whether a `tracing` subscriber is installed. On by default; a subscriber that is installed already stays.
    #[must_use]
    pub fn install_subscriber(mut self, install: bool) -> Self {
        self.config.install_subscriber = install;
        self
    }

    /// The variable that filters the fmt layer, in place of `RUST_LOG`.
    #[must_use]
    pub fn env_var_name(mut self, name: impl Into<String>) -> Self {
        self.config.env_var_name = Some(name.into());
        self
    }

    /// When telemetry is written; `LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE` wins.
    #[must_use]
    pub fn processor_mode(mut self, mode: ProcessorMode) -> Self {
        self.config.processor_mode = Some(mode);
        self
    }

    /// The most verbose `tracing` level that becomes spans and log records; `INFO` by default. No variable changes it.
    #[must_use]
    pub fn max_level(mut self, level: LevelFilter) -> Self {
        self.config.max_level = level;
        self
    }

    /// Writes lines there and not to stdout.
    #[must_use]
    pub fn output(mut self, output: Arc<dyn Output>) -> Self {
        self.config.output = Some(output);
        self
    }

    /// The configuration.
    #[must_use]
    pub fn build(self) -> TelemetryConfig {
        self.config
    }
}
