//! The selection of `tracing` spans and events.

use crate::config::level_of_lambda;
use crate::output::stderr;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{DynFilterFn, FilterFn, ParseError, Targets};
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

/// The selection of `tracing` spans and events.
#[derive(Debug, Clone)]
pub(crate) struct RecordFilter {
    /// The most verbose level of spans, and of events without directives.
    pub(crate) max_level: LevelFilter,
    /// Directives of the environment: they select events, and add spans to those of `max_level`.
    directives: Option<Targets>,
}

impl RecordFilter {
    /// `max_level` comes from code, `lambda_level` from Lambda (`AWS_LAMBDA_LOG_LEVEL`). Lambda's default is INFO, so it only
    /// adds.
    pub(crate) fn new(
        max_level: LevelFilter,
        lambda_level: Option<&str>,
        directives: Option<Targets>,
    ) -> Self {
        let lambda_level = lambda_level.filter(|_| directives.is_none()).and_then(level_of_lambda);
        Self { max_level: max_level.max(lambda_level.unwrap_or(max_level)), directives }
    }

    pub(crate) fn only(
        &self,
        wanted: fn(&Self, &Metadata<'_>) -> bool,
    ) -> FilterFn<impl Fn(&Metadata<'_>) -> bool + Clone + Send + Sync + 'static + use<>> {
        let filter = self.clone();
        FilterFn::new(move |metadata: &Metadata<'_>| wanted(&filter, metadata))
            .with_max_level_hint(self.most_verbose())
    }

    /// Enables recorded spans, and the events that make them errors. No variable disables the levels within `max_level`.
    pub(crate) fn spans<S>(&self) -> impl layer::Filter<S> + Send + Sync + 'static + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let filter = self.clone();
        let sites = self.clone();
        let takes = |filter: &Self, metadata: &Metadata<'_>| {
            (metadata.is_span() || may_be_recorded_error(metadata))
                && filter.takes_span_of(metadata.target(), *metadata.level())
        };
        DynFilterFn::new(move |metadata: &Metadata<'_>, context: &layer::Context<'_, S>| {
            takes(&filter, metadata) && (metadata.is_span() || is_recorded_error(metadata, context))
        })
        .with_callsite_filter(move |metadata: &'static Metadata<'static>| {
            match takes(&sites, metadata) {
                true if metadata.is_span() => Interest::always(),
                true => Interest::sometimes(),
                false => Interest::never(),
            }
        })
        .with_max_level_hint(self.most_verbose())
    }

    pub(crate) fn takes_event(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.takes_event_of(metadata.target(), *metadata.level())
    }

    /// Returns `true` for the runtime's report of an event that does not fit the handler, and for its span with the request id.
    pub(crate) fn takes_refusal(&self, metadata: &Metadata<'_>) -> bool {
        let is_taken = is_refusal(metadata)
            || (metadata.is_span() && metadata.target() == "lambda_runtime::layers::trace");
        is_taken && self.max_level != LevelFilter::OFF
    }

    /// Returns `true` if the runtime's events about the handler's errors are log records.
    pub(crate) fn takes_handler_errors(&self) -> bool {
        self.takes_event_of(HANDLER_REPORTS, Level::ERROR)
    }

    /// AWS's SDK creates some twenty spans for a call, all around the one of our interceptor.
    fn takes_span_of(&self, target: &str, level: Level) -> bool {
        let is_verbose_enough = level <= self.max_level || self.directs(target, level);
        let is_taken =
            self.is_asked_for(target, level) || (is_verbose_enough && !is_of_aws_sdk(target));
        is_taken && !is_internal(target)
    }

    fn takes_event_of(&self, target: &str, level: Level) -> bool {
        let is_taken = match &self.directives {
            Some(directives) => directives.would_enable(target, &level),
            None => level <= self.max_level,
        };
        let is_too_much = is_of_aws_sdk(target) && level > Level::INFO;
        let is_taken = is_taken && (!is_too_much || self.is_asked_for(target, level));
        // The runtime reports events and responses that it cannot convert.
        let is_of_runtime = target.starts_with("lambda_runtime::") && level <= Level::WARN;
        is_taken && (is_of_runtime || !is_internal(target))
    }

    fn directs(&self, target: &str, level: Level) -> bool {
        self.directives.as_ref().is_some_and(|directives| directives.would_enable(target, &level))
    }

    /// Returns `true` if a directive names it, rather than all targets.
    fn is_asked_for(&self, target: &str, level: Level) -> bool {
        let mut by_name = self.directives.iter().flatten();
        self.directs(target, level) && by_name.any(|(name, _)| target.starts_with(name))
    }

    fn most_verbose(&self) -> LevelFilter {
        let default = self.directives.as_ref().and_then(Targets::default_level);
        let by_name = self.directives.iter().flatten().map(|(_, level)| level);
        by_name.chain(default).fold(self.max_level, LevelFilter::max)
    }
}

/// The target of the runtime's events about the handler's errors and panics.
pub(crate) const HANDLER_REPORTS: &str = "lambda_runtime::layers::panic";

/// Returns `true` for the runtime's report of an event that it does not pass to the handler.
pub(crate) fn is_refusal(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
        && *metadata.level() == Level::ERROR
        && metadata.target() == "lambda_runtime::layers::api_response"
}

/// The directives of `level` or `target=level,…`, if any. Those that are not understood are reported on stderr.
pub(crate) fn directives(text: Option<&str>) -> Option<Targets> {
    let text = text.map(str::trim).filter(|text| !text.is_empty())?;
    let parsed = match text {
        // `Targets` would treat the brackets of a span or field as a part of the target's name, and select nothing.
        _ if text.contains('[') => Err("filters of spans and fields are not supported".to_owned()),
        _ => text.parse().map_err(|error: ParseError| error.to_string()),
    };
    let warn = |reason: &String| {
        stderr::warn(&format!(
            "the log filter is not understood and left out, expected level or target=level,…: {reason}"
        ));
    };
    parsed.inspect_err(warn).ok()
}

/// Returns `true` for an event with the only field of those that `#[instrument(err)]` writes, at any level.
fn may_be_recorded_error(metadata: &Metadata<'_>) -> bool {
    let fields = metadata.fields();
    metadata.is_event() && fields.len() == 1 && fields.field("error").is_some()
}

/// `#[instrument(err)]` reports a function's error with an event at the place of the function's span: it makes the span an error
/// with an exception event. All other events only become log records; as span events they would be written twice.
fn is_recorded_error<S>(metadata: &Metadata<'_>, context: &layer::Context<'_, S>) -> bool
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    context.lookup_current().map(|span| span.metadata()).is_some_and(|of_span| {
        (of_span.line(), of_span.file()) == (metadata.line(), metadata.file())
    })
}

/// Exporting the SDK's, Lambda runtime's and HTTP client's own events would create more of them, and the runtime's span around
/// each invocation would be a separate trace.
const INTERNAL: [&str; 17] = [
    "opentelemetry",
    "opentelemetry_appender_log",
    "opentelemetry_appender_tracing",
    "opentelemetry_http",
    "opentelemetry_otlp",
    "opentelemetry_proto",
    "opentelemetry_sdk",
    "opentelemetry_stdout",
    "tracing_opentelemetry",
    "lambda_extension",
    "lambda_runtime",
    "lambda_runtime_api_client",
    "hyper",
    "hyper_rustls",
    "hyper_tls",
    "hyper_util",
    "h2",
];
/// Crates below AWS's clients, besides `aws_smithy_…`.
const AWS_SDK: [&str; 5] =
    ["aws_config", "aws_credential_types", "aws_runtime", "aws_sigv4", "aws_types"];

/// Returns `true` if the target is one of the crates or a module of one. A target may also be the name of a package, with
/// hyphens.
fn is_of(target: &str, crates: &[&str]) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    let is = |byte: u8, in_target: u8| byte == in_target || (byte, in_target) == (b'-', b'_');
    crates.iter().any(|one| {
        one.len() == name.len()
            && name.bytes().zip(one.bytes()).all(|(byte, in_target)| is(byte, in_target))
    })
}

fn is_internal(target: &str) -> bool {
    // The SDK logs under the names of its packages, such as `opentelemetry-otlp`.
    target.starts_with("opentelemetry-") || is_of(target, &INTERNAL)
}

/// The modules of AWS's clients that record something. A crate of the application may be named `aws_sdk_…` too.
const OF_AWS_CLIENTS: [&str; 8] = [
    "aws_chunked",
    "endpoint_auth",
    "endpoint_lib",
    "http_request_checksum",
    "http_response_checksum",
    "operation",
    "s3_expires_interceptor",
    "s3_express",
];

/// Returns `true` for AWS's SDK. Its client of each service is a crate `aws_sdk_…`.
fn is_of_aws_sdk(target: &str) -> bool {
    let mut segments = target.split("::");
    let is_client = segments.next().is_some_and(|name| name.starts_with("aws_sdk_"))
        && segments.next().is_some_and(|module| OF_AWS_CLIENTS.contains(&module));
    is_client || target.starts_with("aws_smithy_") || is_of(target, &AWS_SDK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_rejects_sdk_runtime_and_http_client_targets() {
        let filter = RecordFilter::new(LevelFilter::TRACE, None, directives(Some("trace")));
        let check = |target, expected| {
            assert_eq!(filter.takes_event_of(target, Level::INFO), expected, "{target}");
            assert_eq!(filter.takes_span_of(target, Level::ERROR), expected, "{target}");
        };
        check("opentelemetry", false);
        check("opentelemetry_sdk", false);
        check("opentelemetry_sdk::trace", false);
        check("tracing_opentelemetry", false);
        check("lambda_runtime::layers::trace", false);
        check("lambda_runtime_api_client", false);
        check("hyper_util::client::legacy", false);
        check("h2::codec", false);
        check("opentelemetry-otlp", false);
        check("opentelemetry_orders", true);
        check("hyper_orders::store", true);
        check("h2_database", true);
        check("lambda_runtime_orders", true);
        check("hyperdrive", true);
        check("orders", true);
        check("orders::opentelemetry", true);
        check("aws_orders", true);
        check("", true);
    }

    /// The most verbose level of spans and events with this target.
    #[track_caller]
    fn check(
        max_level: LevelFilter,
        lambda_level: Option<&str>,
        text: Option<&str>,
        target: &str,
        expected: (&str, &str),
    ) {
        let filter = RecordFilter::new(max_level, lambda_level, directives(text));
        let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
        let most = |takes: &dyn Fn(Level) -> bool| {
            let level = levels.iter().find(|level| takes(**level));
            level.map_or("OFF".to_owned(), ToString::to_string)
        };
        let of = (
            most(&|level| filter.takes_span_of(target, level)),
            most(&|level| filter.takes_event_of(target, level)),
        );
        assert_eq!((of.0.as_str(), of.1.as_str()), expected, "{text:?} of {target}");
        let hint = filter.most_verbose();
        assert!(levels.iter().all(|l| *l <= hint || !filter.takes_event_of(target, *l)), "{hint}");
        assert!(levels.iter().all(|l| *l <= hint || !filter.takes_span_of(target, *l)), "{hint}");
    }

    /// Lambda's level can raise but not lower the verbosity. Spans of AWS's SDK require a filter that names it.
    #[test]
    fn the_log_filter_sets_event_levels_and_only_adds_spans() {
        const INFO: LevelFilter = LevelFilter::INFO;
        const DEBUG: LevelFilter = LevelFilter::DEBUG;
        check(INFO, None, None, "orders", ("INFO", "INFO"));
        check(DEBUG, None, None, "orders", ("DEBUG", "DEBUG"));
        check(INFO, None, Some("debug"), "orders", ("DEBUG", "DEBUG"));
        check(INFO, None, Some("warn"), "orders", ("INFO", "WARN"));
        check(INFO, None, Some("off"), "orders", ("INFO", "OFF"));
        check(DEBUG, None, Some("info"), "orders", ("DEBUG", "INFO"));
        check(INFO, None, Some("warn,orders::store=trace"), "orders", ("INFO", "WARN"));
        check(INFO, None, Some("warn,orders::store=trace"), "orders::store", ("TRACE", "TRACE"));
        for ignored in [" ", "orders=loud", "orders[store]=debug"] {
            check(INFO, None, Some(ignored), "orders", ("INFO", "INFO"));
        }
        check(INFO, Some("DEBUG"), None, "orders", ("DEBUG", "DEBUG"));
        check(DEBUG, Some("INFO"), None, "orders", ("DEBUG", "DEBUG"));
        check(INFO, Some("FATAL"), None, "orders", ("INFO", "INFO"));
        check(INFO, Some("loud"), None, "orders", ("INFO", "INFO"));
        check(INFO, Some("TRACE"), Some("debug"), "orders", ("DEBUG", "DEBUG"));
        for target in ["aws_sdk_orders", "aws_config_orders"] {
            check(DEBUG, None, None, target, ("DEBUG", "DEBUG"));
        }
        check(DEBUG, None, None, "aws_sdk_sqs::operation::send", ("OFF", "INFO"));
        check(
            INFO,
            None,
            Some("debug"),
            "aws_sdk_dynamodb::endpoint_lib::partition",
            ("OFF", "INFO"),
        );
        let sdk = "aws_smithy_runtime::client";
        check(LevelFilter::TRACE, None, None, sdk, ("OFF", "INFO"));
        check(INFO, None, Some("trace"), sdk, ("OFF", "INFO"));
        check(INFO, None, Some("error"), sdk, ("OFF", "ERROR"));
        check(INFO, None, Some("info,aws_smithy_runtime=debug"), sdk, ("DEBUG", "DEBUG"));
        check(INFO, None, Some("aws_smithy=off,trace"), sdk, ("OFF", "OFF"));
    }
}
