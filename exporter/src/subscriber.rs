//! Converts `tracing` spans to OpenTelemetry spans and `tracing` events, including records of the `log` crate, to log records.
//! Excludes those of the SDK itself.

use crate::handler::invocation_span::write_refused_invocation;
use crate::integer_fields::{ForgetIntegers, NoteIntegers};
use crate::invocations::Invocations;
use crate::state::Telemetry;
use crate::state::completion::TelemetryCompletionHandler;
use crate::state::record_filter::{HANDLER_REPORTS, RecordFilter, is_refusal};
use opentelemetry::Context;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

impl TelemetryCompletionHandler {
    /// Returns the layer that converts `tracing` spans to OpenTelemetry spans and `tracing` events to log records, for your own
    /// subscriber.
    #[must_use]
    pub fn tracing_layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        self.telemetry.has_layer.store(true, Ordering::Relaxed);
        layer(&self.telemetry, true)
    }
}

/// Spans, and log records if events are not printed, because printed ones would be stored twice.
pub(crate) fn layer<S>(
    telemetry: &Arc<Telemetry>,
    with_logs: bool,
) -> impl Layer<S> + Send + Sync + 'static + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let bridges_logs = with_logs && telemetry.bridges_logs;
    let filter = &telemetry.record_filter;
    // Source locations, threads and busy times would be half of a small span's bytes, and are rarely used.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(telemetry.tracer.clone())
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false);
    let below = NoteLeaving(Arc::clone(&telemetry.invocations)).and_then(NoteIntegers);
    let spans = below.and_then(spans).and_then(ForgetIntegers).with_filter(filter.spans());
    let records = RecordLayer {
        bridge: OpenTelemetryTracingBridge::new(&telemetry.logger_provider),
        bridges_logs,
        telemetry: Arc::downgrade(telemetry),
        dispatch: OnceLock::new(),
        has_seen_an_end: AtomicBool::new(false),
    };
    // A missing layer as `Option` would disable everything, including spans, that no other layer requests.
    let wanted: fn(&RecordFilter, &Metadata<'_>) -> bool = if bridges_logs {
        |filter, metadata| filter.takes_event(metadata) || filter.takes_refusal(metadata)
    } else {
        RecordFilter::takes_refusal
    };
    spans.and_then(records.with_filter(filter.only(wanted)))
}

/// Notes when the application leaves a span. It is below `tracing-opentelemetry`, which ends a span at the same time: its layer, which
/// is called next, still has the span's context.
struct NoteLeaving(Arc<Invocations>);

impl<S> Layer<S> for NoteLeaving
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_exit(&self, _id: &Id, _context: layer::Context<'_, S>) {
        self.0.leave_current_span();
    }
}

/// Passes events to the bridge, which makes log records of them in the current context. An event with an explicit parent (`parent:
/// &span`) is passed on in the context of that span. The runtime's report of an event that does not fit the handler is passed on in
/// the failed span of its invocation.
struct RecordLayer<B> {
    bridge: B,
    bridges_logs: bool,
    telemetry: Weak<Telemetry>,
    dispatch: OnceLock<WeakDispatch>,
    /// `true` once an invocation has ended.
    has_seen_an_end: AtomicBool,
}

impl<S, B> Layer<S> for RecordLayer<B>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    B: Layer<S>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.dispatch.get_or_init(|| dispatch.downgrade());
    }

    /// Notes the fields of the runtime's span, the only one that this layer takes.
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let mut fields = RuntimeFields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    /// Reports that no handler is wrapped, at the end of the first invocation: its span is the runtime's.
    fn on_close(&self, _id: Id, _context: layer::Context<'_, S>) {
        if !self.has_seen_an_end.load(Ordering::Relaxed) {
            self.has_seen_an_end.store(true, Ordering::Relaxed);
            if let Some(telemetry) = self.telemetry.upgrade() {
                telemetry.warn_without_handler();
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: layer::Context<'_, S>) {
        let metadata = event.metadata();
        let is_error = *metadata.level() == Level::ERROR;
        let telemetry = is_error.then(|| self.telemetry.upgrade()).flatten();
        if let Some(telemetry) = telemetry.clone().filter(|_| is_refusal(metadata)) {
            return self.on_refusal(&telemetry, event, context);
        }
        let before_invocations = telemetry.filter(|telemetry| !telemetry.invocations.have_begun());
        // The end of the invocation has written the handler's error already. Before invocations there is none.
        if metadata.target() == HANDLER_REPORTS && before_invocations.is_none() {
            return;
        }
        // Attaching the span's context would end a suppression.
        let explicit = event.parent().filter(|_| !Context::is_current_telemetry_suppressed());
        let parent = explicit.and_then(|id| get_otel_context(id, &self.dispatch.get()?.upgrade()?));
        let _attached = parent.map(Context::attach);
        self.bridge.on_event(event, context);
        if let Some(telemetry) = before_invocations {
            // The start fails, and may end in `std::process::exit`. Exporters of the application may need this thread.
            if !telemetry.has_application_processors {
                telemetry.write_ended();
            }
        }
    }
}

impl<B> RecordLayer<B> {
    /// Writes the failed span of an invocation whose event the runtime refuses, with the runtime's report as its log record.
    fn on_refusal<S>(
        &self,
        telemetry: &Arc<Telemetry>,
        event: &Event<'_>,
        context: layer::Context<'_, S>,
    ) where
        S: Subscriber + for<'span> LookupSpan<'span>,
        B: Layer<S>,
    {
        let of_span = context
            .lookup_current()
            .and_then(|span| span.extensions().get::<RuntimeFields>().cloned());
        let mut fields = of_span.unwrap_or_default();
        event.record(&mut fields);
        let is_record = self.bridges_logs && telemetry.record_filter.takes_event(event.metadata());
        let record = || {
            if is_record {
                self.bridge.on_event(event, context);
            }
        };
        write_refused_invocation(telemetry, &fields.invocation, &fields.error, record);
    }
}

/// The fields of `lambda_runtime`'s span around an invocation, and of its report of an error.
#[derive(Default, Clone)]
struct RuntimeFields {
    invocation: lambda_runtime::Context,
    error: String,
}

impl Visit for RuntimeFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = value.to_owned();
        match field.name() {
            "requestId" => self.invocation.request_id = value,
            "xrayTraceId" => self.invocation.xray_trace_id = Some(value),
            "tenantId" => self.invocation.tenant_id = Some(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "error" {
            self.error = format!("{value:?}");
        }
    }
}

/// Prints the events that would be log records on stdout: as text, or as JSON with `timestamp` and `level` in Lambda's JSON format.
/// The filter hides spans, because the fields of the invocation's span would precede each message.
pub(crate) fn fmt_layer<S>(filter: &RecordFilter, is_json: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let layer = tracing_subscriber::fmt::layer();
    let filter = filter.only(RecordFilter::takes_event);
    if is_json {
        layer.json().flatten_event(true).with_filter(filter).boxed()
    } else {
        layer.with_ansi(false).with_filter(filter).boxed()
    }
}
