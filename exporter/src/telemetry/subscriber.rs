//! Makes OpenTelemetry spans of `tracing` spans and log records of its events, except for those of the SDK itself.

use crate::processor::integer_fields::{ForgetIntegers, NoteIntegers};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracer;
use std::fmt;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, Targets};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::registry::LookupSpan;

/// Spans, and log records where events are to become such: what is printed as well would be stored twice. No log level of the
/// environment reaches this layer.
pub(crate) fn layer<S>(
    tracer: SdkTracer,
    logger_provider: &SdkLoggerProvider,
    bridges_logs: bool,
    max_level: LevelFilter,
) -> impl Layer<S> + Send + Sync + 'static + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    // Source locations, threads and busy times would be half of a small span's bytes, and are seldom asked for.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false);
    let spans = NoteIntegers
        .and_then(spans)
        .and_then(ForgetIntegers)
        .with_filter(filter(max_level, |metadata| {
            metadata.is_span() || is_recorded_error(metadata)
        }));
    // An `Option` without a layer would switch all off that no other layer of the subscriber asks for, spans too.
    let wanted = if bridges_logs { is_event } else { is_nothing };
    let bridge = OpenTelemetryTracingBridge::new(logger_provider);
    spans.and_then(bridge.with_filter(filter(max_level, wanted)))
}

fn filter(
    max_level: LevelFilter,
    wanted: fn(&Metadata<'_>) -> bool,
) -> FilterFn<impl Fn(&Metadata<'_>) -> bool + Clone + Send + Sync + 'static> {
    FilterFn::new(move |metadata: &Metadata<'_>| {
        *metadata.level() <= max_level && wanted(metadata) && !is_internal(metadata.target())
    })
    .with_max_level_hint(max_level)
}

fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

fn is_nothing(_metadata: &Metadata<'_>) -> bool {
    false
}

/// `#[instrument(err)]` reports a function's error like this: it makes the span an error with an exception event.
/// Every other event is a log record only, since as span event it would be written twice.
fn is_recorded_error(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::ERROR
        && metadata.fields().field("error").is_some()
        && metadata.fields().field("message").is_none()
}

/// Whether the SDK, the Lambda runtime or its HTTP client speaks about itself: exporting that would make more of it, and the
/// runtime's span around each invocation would be a trace of its own.
fn is_internal(target: &str) -> bool {
    const INTERNAL: [&str; 5] =
        ["opentelemetry", "tracing_opentelemetry", "lambda_runtime", "hyper", "h2"];
    let name = target.split("::").next().unwrap_or_default();
    INTERNAL.iter().any(|internal| {
        name.strip_prefix(internal).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    })
}

/// Lambda's levels are those of `tracing`, but for FATAL
/// (Lambda Developer Guide, "Log-level filtering").
pub(crate) fn directive_of_lambda(level: &str) -> &str {
    if level.eq_ignore_ascii_case("fatal") { "error" } else { level }
}

/// An event in text, as `tracing_subscriber` prints it, but for the spans around it: the fields of the invocation's span would be
/// before each message, and the trace has them.
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
        let metadata = event.metadata();
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {:>5} {}: ", metadata.level(), metadata.target())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Prints events on stdout: text, or JSON with `timestamp` and `level` under Lambda's JSON format.
///
/// Only this layer is filtered, by `directives` (`info`, or `info,my_crate=debug`).
pub(crate) fn fmt_layer<S>(
    directives: &str,
    is_json: bool,
) -> (Box<dyn Layer<S> + Send + Sync>, Option<String>)
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let (targets, complaint) = match directives.parse::<Targets>() {
        Ok(targets) => (targets, None),
        Err(error) => {
            let complaint = format!("the log filter is not understood, info is used: {error}");
            (Targets::new().with_default(Level::INFO), Some(complaint))
        }
    };
    let layer = tracing_subscriber::fmt::layer();
    let layer: Box<dyn Layer<S> + Send + Sync> = if is_json {
        let layer = layer.json().flatten_event(true);
        layer.with_current_span(false).with_span_list(false).with_filter(targets).boxed()
    } else {
        layer.with_ansi(false).event_format(WithoutSpans).with_filter(targets).boxed()
    };
    (layer, complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_and_the_runtime_say_is_left_out() {
        let check = |target, expected| assert_eq!(is_internal(target), expected, "{target}");
        check("opentelemetry", true);
        check("opentelemetry_sdk", true);
        check("opentelemetry_sdk::trace", true);
        check("tracing_opentelemetry", true);
        check("lambda_runtime::layers::trace", true);
        check("lambda_runtime_api_client", true);
        check("hyper_util::client::legacy", true);
        check("h2::codec", true);
        check("hyperdrive", false);
        check("orders", false);
        check("orders::opentelemetry", false);
        check("", false);
    }
}
