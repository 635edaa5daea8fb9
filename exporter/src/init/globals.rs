//! The process-wide part of telemetry.

use super::telemetry_config::TelemetryConfig;
use crate::config::Config;
use crate::output::stderr;
use crate::telemetry::completion::TelemetryCompletionHandler;
use crate::telemetry::record_filter::level_of_lambda;
use crate::telemetry::subscriber;
use opentelemetry::global;
use std::sync::atomic::Ordering;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

/// The providers and propagators for `opentelemetry::global`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Globals {
    tracer_provider: bool,
    meter_provider: bool,
    propagators: bool,
}

/// A provider of the application becomes global only on request. If the SDK is disabled, the API's no-op providers remain, and
/// pass on the caller's context.
pub(super) fn wanted(config: &TelemetryConfig, is_disabled: bool) -> Globals {
    let wanted = config.global_providers;
    Globals {
        tracer_provider: wanted && !is_disabled && config.traces.provider.is_none(),
        meter_provider: wanted && !is_disabled && config.metrics.provider.is_none(),
        propagators: wanted,
    }
}

/// Installs them in `opentelemetry::global`.
pub(super) fn set(handler: &TelemetryCompletionHandler, globals: Globals) {
    if globals.tracer_provider {
        global::set_tracer_provider(handler.tracer_provider().clone());
    }
    if globals.meter_provider {
        global::set_meter_provider(handler.meter_provider().clone());
    }
    if globals.propagators {
        global::set_text_map_propagator(handler.telemetry.propagation.clone());
    }
}

/// Installs a subscriber if there is none. If the application has installed one, it stays, and the telemetry has no `tracing`
/// spans and events.
pub(super) fn install_subscriber(
    handler: &TelemetryCompletionHandler,
    environment: &Config,
    with_fmt_layer: bool,
    directives: Option<Targets>,
) {
    let fmt_layer = with_fmt_layer.then(|| {
        let lambda_level = environment.lambda.log_level.as_deref().and_then(level_of_lambda);
        let level = lambda_level.unwrap_or(LevelFilter::INFO);
        let filter = directives.unwrap_or_else(|| Targets::new().with_default(level));
        subscriber::fmt_layer(filter, environment.lambda.json_log_level.is_some())
    });
    // Printed events are already log records with the trace of their invocation.
    let layer = handler.layer_of(fmt_layer.is_none());
    let subscriber = tracing_subscriber::registry().with(layer).with(fmt_layer);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        subscriber::bridge_log_crate();
    } else {
        handler.telemetry.has_layer.store(false, Ordering::Relaxed);
        stderr::warn(
            "the tracing subscriber already installed is kept; add TelemetryCompletionHandler::tracing_layer to one \
             of your own for spans and log records from tracing",
        );
    }
}
