//! Sets up telemetry: providers, propagators, the `tracing` subscriber, the completion handler.

mod providers;
pub(crate) mod telemetry_config;

use crate::bounded::TimedLock;
use crate::config::{Config, InitializationType};
use crate::export::line::LineExporterBuilder;
use crate::extension;
use crate::handler::invocation_span::write_before_abort;
use crate::handler::panic_place::note_places;
use crate::invocations::Invocations;
use crate::invocations::root_record::RootRecord;
use crate::output::stderr;
use crate::propagation::{self, Propagation};
use crate::state::completion::TelemetryCompletionHandler;
use crate::state::record_filter::{RecordFilter, directives};
use crate::state::{Telemetry, resource, scope};
use crate::subscriber;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use providers::{ProviderParts, TraceParts};
use settings::{Env, Source};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use telemetry_config::TelemetryConfig;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

/// Sets up traces, logs and metrics for a Lambda function, and installs the `tracing` subscriber.
///
/// Call it once before the runtime starts, because the modes `async` and `finalize` must register the process as a Lambda
/// extension first. `sync` opens no connection. In Lambda, every mode starts a thread that waits for SIGTERM.
///
/// It never fails: telemetry must not fail a function. What is wrong is reported on stderr. Make tracers and meters afterwards: those
/// of `opentelemetry::global` before it record nothing.
#[must_use = "the handler is wrapped with it"]
pub fn init(config: TelemetryConfig) -> TelemetryCompletionHandler {
    init_from(config, &Env)
}

/// Like [`init`], with variables from any source.
pub(crate) fn init_from(
    config: TelemetryConfig,
    source: &dyn Source,
) -> TelemetryCompletionHandler {
    let environment = Config::from_source(source);
    if !environment.complaint.is_empty() {
        stderr::warn(&environment.complaint);
    }
    let has_application_processors = config.has_application_processors();
    let propagators = match &environment.propagators {
        Some(names) => propagation::by_names(names),
        None if config.propagators.is_empty() => propagation::default(),
        None => config.propagators,
    };
    let own_traces = config.traces.provider.is_none();
    let own_metrics = config.metrics.provider.is_none();

    let resource = resource::resource(&environment, config.resource.as_ref());
    let invocations = Some(config.invocations.unwrap_or_else(Invocations::of_new_telemetry));
    let output = config.output;
    let line = LineExporterBuilder { output, invocations, ..LineExporterBuilder::default() }
        .build(&environment);
    let exports_traces = environment.writes.traces || config.traces.is_of_application();
    // A root span that is not exported must not become the parent of the extension's span.
    let runtime_api = environment
        .lambda
        .runtime_api
        .as_deref()
        .filter(|_| exports_traces && !environment.disabled);
    let is_concurrent =
        environment.lambda.initialization_type == InitializationType::ManagedInstances;
    let parts = ProviderParts { environment: &environment, line: &line, resource: &resource };
    let TraceParts { spans, provider: tracer_provider, sampler } = parts.traces(config.traces);

    let of_application = config.log_filter_variable.as_deref().and_then(|name| source.get(name));
    let directives = directives(of_application.as_deref().or(environment.log_filter.as_deref()));
    let lambda_level = environment.lambda.log_level.as_deref();
    let record_filter = if environment.disabled {
        RecordFilter::new(LevelFilter::OFF, None, None)
    } else {
        RecordFilter::new(config.max_level.unwrap_or(LevelFilter::INFO), lambda_level, directives)
    };
    let prints =
        !config.without_global_subscriber && environment.fmt_layer.unwrap_or(config.fmt_layer);
    // The test process simulates many functions.
    let handles_sigterm =
        !config.without_sigterm_handler && !environment.disabled && cfg!(not(test));
    let exits = handles_sigterm.then(|| !extension::is_handled_by_others());
    let telemetry = Telemetry {
        tracer: tracer_provider.tracer_with_scope(scope()),
        tracer_provider,
        sampler,
        logger_provider: parts.logs(config.logs),
        meter_provider: parts.metrics(config.metrics),
        spans,
        has_application_processors,
        writing_together: TimedLock::default(),
        propagation: Propagation::new(propagators),
        has_layer: AtomicBool::new(false),
        default_name: OnceLock::new(),
        is_warm: AtomicBool::new(false),
        root_record: RootRecord::new(runtime_api, is_concurrent),
        writes_root_lines: is_concurrent && environment.writes.traces && !environment.disabled,
        warned_of_unsampled: AtomicBool::new(false),
        warned_of_two_wrappers: AtomicBool::new(false),
        is_written_by_application: AtomicBool::new(false),
        invocations: Arc::clone(line.invocations()),
        line,
        record_filter,
        bridges_logs: !config.without_log_bridge,
        prints_events: prints,
        mode: OnceLock::new(),
        exits_at_sigterm: exits.filter(|_| environment.lambda.runtime_api.is_some()),
        has_shutdown_hook: OnceLock::new(),
        environment,
    };
    let handler = TelemetryCompletionHandler { telemetry: Arc::new(telemetry) };
    let environment = &handler.telemetry.environment;
    handler.telemetry.write_before_timeouts();
    if !environment.disabled {
        note_places();
    }
    if cfg!(panic = "abort") {
        write_before_abort(&handler.telemetry);
    }
    if !config.without_global_providers {
        set_globals(&handler, own_traces, own_metrics);
    }
    if !config.without_global_subscriber {
        install_subscriber(&handler);
    }
    if !environment.disabled {
        let mode = environment.mode.or(config.processor_mode).unwrap_or_default();
        let started = extension::start(mode, &handler.telemetry);
        // Only set here, after everything else.
        handler.telemetry.mode.set(started).ok();
    }
    handler
}

/// Sets the providers and propagators in `opentelemetry::global`. A provider of the application becomes global only on request.
/// If the SDK is disabled, the API's no-op providers remain, and pass on the caller's context.
fn set_globals(handler: &TelemetryCompletionHandler, own_traces: bool, own_metrics: bool) {
    let is_disabled = handler.telemetry.environment.disabled;
    if own_traces && !is_disabled {
        global::set_tracer_provider(handler.tracer_provider().clone());
    }
    if own_metrics && !is_disabled {
        global::set_meter_provider(handler.meter_provider().clone());
    }
    global::set_text_map_propagator(handler.telemetry.propagation.clone());
}

/// Installs a subscriber if there is none. If the application has installed one, it stays, and the telemetry has no `tracing`
/// spans and events.
fn install_subscriber(handler: &TelemetryCompletionHandler) {
    /// `true` if the process has our subscriber.
    static IS_OURS: AtomicBool = AtomicBool::new(false);
    let is_json = handler.telemetry.environment.lambda.json_log_level.is_some();
    let filter = &handler.telemetry.record_filter;
    let fmt_layer = handler.telemetry.prints_events.then(|| subscriber::fmt_layer(filter, is_json));
    // Printed events are already log records with the trace of their invocation.
    let layer = subscriber::layer(&handler.telemetry, fmt_layer.is_none());
    let subscriber = tracing_subscriber::registry().with(layer).with(fmt_layer);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        IS_OURS.store(true, Ordering::Relaxed);
        handler.telemetry.has_layer.store(true, Ordering::Relaxed);
        #[cfg(feature = "log")]
        crate::state::log_crate::install();
    } else if IS_OURS.load(Ordering::Relaxed) {
        stderr::warn(
            "telemetry is set up for the second time in this process: tracing spans and log records belong to the first, so set it up \
             once, or pass with_global_subscriber(false)",
        );
    } else {
        stderr::warn(
            "there are no spans and log records from tracing, because another subscriber is installed: remove the call that \
             installed it, such as init_default_subscriber(), or add TelemetryCompletionHandler::tracing_layer to it",
        );
    }
}
