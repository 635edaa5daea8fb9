//! Converts `tracing` spans to OpenTelemetry spans and `tracing` events, including records of the `log` crate, to log records.
//! Excludes those of the SDK itself.

use super::record_filter::RecordFilter;
use crate::processor::integer_fields::{ForgetIntegers, NoteIntegers};
use opentelemetry::Context;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracer;
use std::fmt;
use std::sync::OnceLock;
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::{Event, Metadata, Subscriber};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Spans, and log records if events are not printed, because printed ones would be stored twice.
pub(crate) fn layer<S>(
    tracer: SdkTracer,
    logger_provider: &SdkLoggerProvider,
    bridges_logs: bool,
    filter: &RecordFilter,
) -> impl Layer<S> + Send + Sync + 'static + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    // Source locations, threads and busy times would be half of a small span's bytes, and are rarely used.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false);
    let spans = NoteIntegers
        .and_then(spans)
        .and_then(ForgetIntegers)
        .with_filter(filter.only(RecordFilter::takes_span));
    // A missing layer as `Option` would disable everything, including spans, that no other layer requests.
    let wanted: fn(&RecordFilter, &Metadata<'_>) -> bool =
        if bridges_logs { RecordFilter::takes_event } else { |_, _| false };
    let bridge = WithExplicitParent {
        bridge: OpenTelemetryTracingBridge::new(logger_provider),
        dispatch: OnceLock::new(),
    };
    spans.and_then(bridge.with_filter(filter.only(wanted)))
}

/// Passes an event with an explicit parent (`parent: &span`) to the bridge in the context of that span: the bridge itself uses
/// the current context for all events.
struct WithExplicitParent<B> {
    bridge: B,
    dispatch: OnceLock<WeakDispatch>,
}

impl<S: Subscriber, B: Layer<S>> Layer<S> for WithExplicitParent<B> {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.dispatch.get_or_init(|| dispatch.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, context: layer::Context<'_, S>) {
        // Attaching the span's context would end a suppression.
        let explicit = event.parent().filter(|_| !Context::is_current_telemetry_suppressed());
        let parent = explicit.and_then(|id| get_otel_context(id, &self.dispatch.get()?.upgrade()?));
        let _attached = parent.map(Context::attach);
        self.bridge.on_event(event, context);
    }
}

/// Formats an event like `tracing_subscriber`, without the surrounding spans: the fields of the invocation's span would precede
/// each message, and the trace contains them.
struct WithoutSpans;

impl<S, N> FormatEvent<S, N> for WithoutSpans
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let own = own_metadata(event);
        let metadata = own.as_ref().unwrap_or_else(|| event.metadata());
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {:>5} {}: ", metadata.level(), metadata.target())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The metadata of a `log` crate record. Its `tracing` event shares one callsite with all records of its level.
#[cfg(feature = "log")]
fn own_metadata<'a>(event: &'a Event<'_>) -> Option<Metadata<'a>> {
    tracing_log::NormalizeEvent::normalized_metadata(event)
}

#[cfg(not(feature = "log"))]
fn own_metadata<'a>(_event: &'a Event<'_>) -> Option<Metadata<'a>> {
    None
}

/// Sends records of the `log` crate to the `tracing` subscriber. A logger installed by the application stays.
pub(crate) fn bridge_log_crate() {
    #[cfg(feature = "log")]
    drop(tracing_log::LogTracer::init());
}

/// Prints the events selected by `filter` on stdout: as text, or as JSON with `timestamp` and `level` in Lambda's JSON format.
pub(crate) fn fmt_layer<S>(filter: Targets, is_json: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let layer = tracing_subscriber::fmt::layer();
    if is_json {
        let layer = layer.json().flatten_event(true);
        layer.with_current_span(false).with_span_list(false).with_filter(filter).boxed()
    } else {
        layer.with_ansi(false).event_format(WithoutSpans).with_filter(filter).boxed()
    }
}
