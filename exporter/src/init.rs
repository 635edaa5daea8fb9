//! Sets telemetry up: providers, propagators, the `tracing` subscriber, the completion handler.

use crate::clock::Clock;
use crate::completion::{InvocationFacts, Signals, Telemetry, TelemetryCompletionHandler, scope};
use crate::config::{Config, DEFAULT_QUEUE_SIZE};
use crate::deadline::DeadlineWatch;
use crate::exporters::{StdoutLogExporter, StdoutMetricExporter, StdoutSpanExporter};
use crate::id_generator::InvocationIdGenerator;
use crate::line_exporter::{LineExporter, LineExporterBuilder};
use crate::log_processor::LambdaLogProcessor;
use crate::metric_reader::FlushReader;
use crate::mode::ProcessorMode;
use crate::output::Output;
#[cfg(test)]
use crate::patience::Deadline;
use crate::processor::{LambdaSpanProcessor, SharedProcessor};
use crate::propagation::{self, BoxedPropagator, Propagation};
use crate::root_record::RootRecord;
use crate::{resource, stderr, subscriber};
use opentelemetry::global;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SdkTracer, SdkTracerProvider, ShouldSample,
    SpanExporter as _, SpanProcessor, TracerProviderBuilder,
};
use settings::{Env, Source};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

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
    before: Vec<AddProcessor>,
    processors: Vec<AddProcessor>,
    propagators: Vec<BoxedPropagator>,
    id_generator: Box<dyn IdGenerator>,
    sampler: Option<Box<dyn ShouldSample>>,
    resource: Option<Resource>,
    enable_fmt_layer: bool,
    set_global_provider: bool,
    install_subscriber: bool,
    env_var_name: Option<String>,
    processor_mode: Option<ProcessorMode>,
    max_level: LevelFilter,
    output: Option<Arc<dyn Output>>,
    #[cfg(test)]
    pub(crate) clock: Option<Clock>,
}

/// The SDK takes processors by type, one by one; this remembers how to add one.
struct AddProcessor(Box<dyn FnOnce(TracerProviderBuilder) -> TracerProviderBuilder + Send>);

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
            before: Vec::new(),
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
    /// Uses this span processor in place of the [`LambdaSpanProcessor`]; several may be given.
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
        self.config.before.push(AddProcessor::new(processor));
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

    /// Prints `tracing` events on stdout as well; `LAMBDA_TRACING_ENABLE_FMT_LAYER` wins. Off by default.
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

/// Why telemetry could not be set up: there is no reason yet, since what is wrong with the variables is reported on
/// stderr and its default taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {}

impl fmt::Display for InitError {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for InitError {}

/// Sets up traces, logs and metrics for a Lambda function, and installs the `tracing` subscriber.
///
/// Call it once, before the runtime starts. Opens no file or connection and starts no thread.
///
/// # Errors
/// None yet: a function must not fail for its telemetry.
pub async fn init_telemetry(
    config: TelemetryConfig,
) -> Result<(SdkTracer, TelemetryCompletionHandler), InitError> {
    let completion_handler = init(config, &Env);
    Ok((completion_handler.get_tracer().clone(), completion_handler))
}

/// The same with variables from any source.
pub(crate) fn init(config: TelemetryConfig, source: &dyn Source) -> TelemetryCompletionHandler {
    let settings = Config::from_source(source);
    if !settings.complaint.is_empty() {
        stderr::warn(&settings.complaint);
    }
    // Sync is the only mode yet, and needs nothing to be set up.
    ProcessorMode::resolve(settings.mode, config.processor_mode);
    let propagators = propagators(config.propagators, settings.propagators.as_deref());
    #[cfg(test)]
    let (with_thread, deadline) =
        (config.clock.is_none(), config.clock.clone().map(|clock| Arc::new(Deadline::new(clock))));
    #[cfg(test)]
    let clock = config.clock.unwrap_or_else(Clock::system);
    #[cfg(not(test))]
    let (deadline, clock) = (None, Clock::system());

    let resource = resource::resource(&settings, config.resource.as_ref());
    let line =
        LineExporterBuilder { output: config.output, deadline, ..LineExporterBuilder::default() }
            .build(&settings);
    let tracer_builder = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_id_generator(InvocationIdGenerator(config.id_generator))
        .with_sampler(sampler(&settings, config.sampler));
    let signals = Arc::new(signals(
        &settings,
        &line,
        &resource,
        tracer_builder,
        config.before,
        config.processors,
    ));

    let write = {
        let signals = Arc::clone(&signals);
        move || signals.flush()
    };
    let deadline = DeadlineWatch::new(clock.clone(), write);
    #[cfg(test)]
    let deadline = if with_thread { deadline } else { deadline.without_thread() };
    let telemetry = Telemetry {
        tracer: signals.tracer_provider.tracer_with_scope(scope()),
        propagation: Propagation::new(propagators),
        has_layer: AtomicBool::new(false),
        facts: InvocationFacts {
            function_version: settings.platform.function_version.clone(),
            is_provisioned: settings.platform.is_provisioned,
            duplicate_http_names: settings.duplicate_http_names,
            is_cold: AtomicBool::new(true),
            root_record: RootRecord::new(settings.platform.runtime_api.as_deref()),
        },
        deadline,
        signals,
        max_level: config.max_level,
    };
    let handler = TelemetryCompletionHandler { telemetry: Arc::new(telemetry) };
    if config.set_global_provider {
        set_globals(&handler);
    }
    if config.install_subscriber {
        let fmt_layer = settings.fmt_layer.unwrap_or(config.enable_fmt_layer);
        let own_filter = config.env_var_name.and_then(|name| source.get(&name));
        install_subscriber(&handler, &settings, fmt_layer, own_filter.as_deref());
    }
    handler
}

fn signals(
    settings: &Config,
    line: &LineExporter,
    resource: &Resource,
    mut tracer_builder: TracerProviderBuilder,
    before: Vec<AddProcessor>,
    processors: Vec<AddProcessor>,
) -> Signals {
    let vitals = Arc::clone(line.vitals());
    let mut logger_builder = SdkLoggerProvider::builder().with_resource(resource.clone());
    let mut meter_builder = SdkMeterProvider::builder().with_resource(resource.clone());
    let mut spans = None;
    if !settings.disabled {
        let queue_size = settings.queue_size.unwrap_or(DEFAULT_QUEUE_SIZE);
        let has_own_processor = !processors.is_empty();
        for AddProcessor(add) in before.into_iter().chain(processors) {
            tracer_builder = add(tracer_builder);
        }
        if !has_own_processor {
            let mut exporter = StdoutSpanExporter::over(line.clone(), settings);
            exporter.set_resource(resource);
            let processor = LambdaSpanProcessor::new(exporter, queue_size, Arc::clone(&vitals));
            let processor = Arc::clone(spans.insert(Arc::new(processor)));
            tracer_builder = tracer_builder.with_span_processor(SharedProcessor(processor));
        }
        let exporter = StdoutLogExporter::over(line.clone(), settings);
        let processor = LambdaLogProcessor::new(exporter, queue_size, Arc::clone(&vitals));
        logger_builder = logger_builder.with_log_processor(processor);
        let exporter = StdoutMetricExporter::over(line.clone(), settings);
        meter_builder = meter_builder.with_reader(FlushReader::new(exporter));
    }
    Signals::new(
        spans,
        tracer_builder.build(),
        logger_builder.build(),
        meter_builder.build(),
        line.clone(),
    )
}

fn sampler(settings: &Config, from_code: Option<Box<dyn ShouldSample>>) -> Box<dyn ShouldSample> {
    let from_environment = || Some(Box::new(settings.sampler.clone()?) as Box<dyn ShouldSample>);
    if settings.disabled {
        return Box::new(Sampler::AlwaysOff);
    }
    from_environment()
        .or(from_code)
        .unwrap_or_else(|| Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))))
}

fn propagators(
    from_code: Vec<BoxedPropagator>,
    from_environment: Option<&str>,
) -> Vec<BoxedPropagator> {
    match from_environment {
        Some(names) => {
            let (propagators, unknown) = propagation::by_names(names);
            if !unknown.is_empty() {
                let unknown = unknown.join(", ");
                stderr::warn(&format!("OTEL_PROPAGATORS: {unknown} not known, left out"));
            }
            propagators
        }
        None if from_code.is_empty() => propagation::default(),
        None => from_code,
    }
}

fn set_globals(handler: &TelemetryCompletionHandler) {
    global::set_tracer_provider(handler.tracer_provider().clone());
    global::set_meter_provider(handler.meter_provider().clone());
    global::set_text_map_propagator(handler.telemetry.propagation.clone());
}

/// Installs a subscriber where there is none; another's stays, and telemetry is left without `tracing` spans.
fn install_subscriber(
    handler: &TelemetryCompletionHandler,
    settings: &Config,
    with_fmt_layer: bool,
    own_filter: Option<&str>,
) {
    let fmt_layer = with_fmt_layer.then(|| {
        let directives = own_filter
            .or(settings.log_filter.as_deref())
            .or(settings.platform.log_level.as_deref().map(subscriber::directive_of_lambda))
            .unwrap_or("info");
        let is_json = settings.platform.json_log_level.is_some();
        let (layer, complaint) = subscriber::fmt_layer(directives, is_json);
        if let Some(complaint) = complaint {
            stderr::warn(&complaint);
        }
        layer
    });
    let subscriber = tracing_subscriber::registry().with(handler.tracing_layer()).with(fmt_layer);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        handler.telemetry.has_layer.store(false, Ordering::Relaxed);
        stderr::warn(
            "a tracing subscriber is installed already and stays; add TelemetryCompletionHandler::tracing_layer to one \
             of your own for spans and log records from tracing",
        );
    }
}
