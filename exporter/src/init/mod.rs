//! Sets up telemetry: providers, propagators, the `tracing` subscriber, the completion handler.

mod globals;
mod mode;
mod providers;
pub(crate) mod telemetry_config;

use crate::clock::Clock;
use crate::config::Config;
use crate::export::line_builder::LineExporterBuilder;
#[cfg(test)]
use crate::export::write_timeout::Deadline;
use crate::handler::abort::write_before_abort;
use crate::output::stderr;
use crate::processor::open_spans::CutOff;
use crate::telemetry::completion::TelemetryCompletionHandler;
use crate::telemetry::deadline_watch::DeadlineWatch;
use crate::telemetry::propagation::{self, BoxedPropagator, Propagation};
use crate::telemetry::record_filter::{self, RecordFilter};
use crate::telemetry::root_record::RootRecord;
use crate::telemetry::running::RunningInvocations;
use crate::telemetry::{InvocationFacts, Telemetry, resource, scope};
use mode::start_mode;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracer;
use providers::Parts;
use settings::{Env, Source};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};
use telemetry_config::TelemetryConfig;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The reason why telemetry could not be set up. There is none yet: mistakes in variables are reported on stderr and replaced by
/// defaults.
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
/// Call it once before the runtime starts, because the modes `async` and `finalize` must register the process as a Lambda
/// extension first. `sync` opens no connection. In Lambda, every mode starts a thread that waits for SIGTERM.
///
/// ```no_run
/// use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler, init_telemetry};
/// use lambda_runtime::{Error, LambdaEvent, service_fn};
/// use serde_json::Value;
///
/// async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
///     Ok(event.payload)
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Error> {
///     let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
///     let handler = create_traced_handler("orders", completion_handler, handle);
///     lambda_runtime::run(service_fn(handler)).await
/// }
/// ```
///
/// # Errors
/// None yet: telemetry must not fail a function.
pub async fn init_telemetry(
    config: TelemetryConfig,
) -> Result<(SdkTracer, TelemetryCompletionHandler), InitError> {
    let completion_handler = init(config, &Env);
    Ok((completion_handler.tracer().clone(), completion_handler))
}

/// Like [`init_telemetry`], with variables from any source.
pub(crate) fn init(mut config: TelemetryConfig, source: &dyn Source) -> TelemetryCompletionHandler {
    let environment = Config::from_source(source);
    if !environment.complaint.is_empty() {
        stderr::warn(&environment.complaint);
    }
    let mode = environment.mode.or(config.processor_mode).unwrap_or_default();
    let own_propagators = std::mem::take(&mut config.propagators);
    let propagators = propagators(own_propagators, environment.propagators.as_deref());
    let globals = globals::wanted(&config, environment.disabled);
    #[cfg(test)]
    let (with_thread, deadline) =
        (config.clock.is_none(), config.clock.clone().map(|clock| Arc::new(Deadline::new(clock))));
    #[cfg(test)]
    let clock = config.clock.take().unwrap_or_else(Clock::system);
    #[cfg(not(test))]
    let (deadline, clock) = (None, Clock::system());

    let resource = resource::resource(&environment, config.resource.as_ref());
    let output = config.output.take();
    let line = LineExporterBuilder { output, deadline, ..LineExporterBuilder::default() }
        .build(&environment);
    let exports_traces = environment.writes.traces || config.traces.is_of_others();
    let runtime_api = environment.lambda.runtime_api.as_deref();
    // A root span that is not exported must not become the parent of the extension's span.
    let runtime_api = runtime_api.filter(|_| exports_traces && !environment.disabled);
    let parts = Parts { environment: &environment, line: &line, resource: &resource };
    let signals = parts.signals(&mut config);

    let directives = directives(&config, &environment, source);
    let lambda_level = environment.lambda.log_level.as_deref();
    let record_filter = if environment.disabled {
        RecordFilter::new(LevelFilter::OFF, None, None)
    } else {
        RecordFilter::new(config.max_level, lambda_level, directives.clone())
    };
    let telemetry = Arc::new_cyclic(|telemetry: &Weak<Telemetry>| {
        let telemetry = Weak::clone(telemetry);
        let deadline = DeadlineWatch::new(clock, move |numbers| {
            if let Some(telemetry) = telemetry.upgrade() {
                // Errors are counted where they occur.
                drop(telemetry.write_cut_off(|number| numbers.contains(&number), CutOff::TIMEOUT));
            }
        });
        #[cfg(test)]
        let deadline = if with_thread { deadline } else { deadline.without_thread() };
        Telemetry {
            tracer: signals.tracer_provider.tracer_with_scope(scope()),
            propagation: Propagation::new(propagators),
            has_layer: AtomicBool::new(false),
            facts: InvocationFacts {
                function_version: environment.lambda.function_version.clone(),
                initialization_type: environment.lambda.initialization_type,
                duplicate_http_names: environment.duplicate_http_names,
                inferred_spans: environment.inferred_spans,
                is_cold: AtomicBool::new(true),
                root_record: RootRecord::new(runtime_api),
                told_of_unsampled: AtomicBool::new(false),
            },
            deadline,
            signals,
            running: RunningInvocations::default(),
            record_filter,
            bridges_logs: config.log_bridge,
            is_disabled: environment.disabled,
            mode: OnceLock::new(),
        }
    });
    let handler = TelemetryCompletionHandler { telemetry };
    if cfg!(panic = "abort") {
        write_before_abort(&handler.telemetry);
    }
    globals::set(&handler, globals);
    if config.global_subscriber {
        let fmt_layer = environment.fmt_layer.unwrap_or(config.fmt_layer);
        globals::install_subscriber(&handler, &environment, fmt_layer, directives);
    }
    // The test process simulates many functions.
    let handles_sigterm = config.sigterm_handler && cfg!(not(test));
    if !environment.disabled {
        start_mode(&handler.telemetry, mode, &environment, handles_sigterm);
    }
    handler
}

/// The variables about `tracing` spans and events; invalid ones are reported on stderr.
fn directives(
    config: &TelemetryConfig,
    environment: &Config,
    source: &dyn Source,
) -> Option<Targets> {
    let own = config.log_filter_variable.as_ref().and_then(|name| source.get(name));
    let text = own.as_deref().or(environment.log_filter.as_deref());
    let (directives, complaint) = record_filter::directives(text);
    if let Some(complaint) = complaint {
        stderr::warn(&complaint);
    }
    directives
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
