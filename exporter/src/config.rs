//! The configuration of telemetry, in code and from variables.

use crate::variables::{self, TABLE};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::{Sampler, SpanLimits};
use settings::{Env, Reader, Setting, SettingWithDefault, Source, Word, shared};
use std::fmt;
use std::ops::RangeInclusive;
use tracing::level_filters::LevelFilter;

pub use crate::init::telemetry_config::{TelemetryConfig, TelemetryConfigBuilder};
pub use crate::state::resource::lambda_resource;

/// When telemetry is written (`LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE`, which overrides code).
///
/// Every mode writes a full buffer early, ended spans shortly before a timeout, and the rest at SIGTERM, which Lambda sends if
/// any extension is registered. An unavailable mode becomes `Sync`, with the reason in one line on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProcessorMode {
    /// Before the response. Registers no extension.
    #[default]
    Sync,
    /// After the response, in billed time: the process registers itself as an extension. With SnapStart it is `Sync`.
    Async,
    /// At the end of the environment, for processors and readers with their own schedule, such as the SDK's batch processor.
    Finalize,
}

impl ProcessorMode {
    /// Returns the mode from the environment, or else this one, or else `Sync`. An invalid variable is ignored.
    #[must_use]
    pub fn resolve(from_code: Option<Self>) -> Self {
        Config::from_source(&Env).mode.or(from_code).unwrap_or_default()
    }
}

impl fmt::Display for ProcessorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Finalize => "finalize",
        })
    }
}

/// The `level` of a line in the text log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LogLevel {
    /// `DEBUG`
    Debug,
    /// `INFO`
    #[default]
    Info,
    /// `WARN`
    Warn,
    /// `ERROR`
    Error,
}

impl LogLevel {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

pub(crate) const DEFAULT_COMPRESSION_LEVEL: u32 = 6;
pub(crate) const DEFAULT_QUEUE_SIZE: usize = 2048;
/// A larger queue would be written early less often, but take more memory, and more time at the end of the invocation.
pub(crate) const MAX_QUEUE_SIZE: usize = 65_536;
/// The range of `LAMBDA_OTLP_MAX_LINE_BYTES`. A line above 65,536 bytes may arrive as several log events, which the forwarder
/// joins.
const MAX_LINE_BYTES: RangeInclusive<usize> = 1024..=250 * 1024;

/// The configuration from variables; `None` leaves the choice to code or default.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) mode: Option<ProcessorMode>,
    pub(crate) queue_size: Option<usize>,
    pub(crate) fmt_layer: Option<bool>,
    pub(crate) log_filter: Option<String>,
    #[cfg(any(test, feature = "lambda-otel-lite"))]
    log_level: Option<String>,
    pub(crate) compression_level: Option<u32>,
    pub(crate) level: Option<LogLevel>,
    pub(crate) writes_compact_lines: bool,
    pub(crate) max_line_bytes: usize,
    pub(crate) disabled: bool,
    pub(crate) writes: Writes,
    /// Limits of spans that the SDK applies.
    pub(crate) span_limits: SpanLimits,
    /// Maximum length of a text attribute of a span, its events and its links, in characters, which the exporter applies.
    pub(crate) span_value_length: usize,
    pub(crate) record_limits: RecordLimits,
    pub(crate) service_name: Option<String>,
    pub(crate) resource_attributes: Option<String>,
    pub(crate) propagators: Option<String>,
    pub(crate) sampler: Option<Sampler>,
    pub(crate) temporality: Temporality,
    /// `true` if a span states how long the request or the messages waited.
    pub(crate) inferred_spans: bool,
    pub(crate) lambda: LambdaEnvironment,
    /// Mistakes and warnings about variables, in one line for stderr; empty without any.
    pub(crate) complaint: String,
}

/// The signals to write as lines (`OTEL_TRACES_EXPORTER` and its siblings).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writes {
    pub(crate) traces: bool,
    pub(crate) metrics: bool,
    pub(crate) logs: bool,
}

impl Config {
    /// Reads all variables. A mistake is noted in `complaint` and replaced by the default, because it must not stop a function.
    pub(crate) fn from_source(source: &dyn Source) -> Self {
        let mut reader = Reader::new(source, TABLE);
        let mode = reader.choice_if_set(
            variables::PROCESSOR_MODE.if_set(),
            &[
                ("sync", ProcessorMode::Sync),
                ("async", ProcessorMode::Async),
                ("finalize", ProcessorMode::Finalize),
            ],
        );
        let queue_size = count_in(&mut reader, variables::QUEUE_SIZE.if_set(), 1..=MAX_QUEUE_SIZE);
        let fmt_layer =
            reader.is_set(variables::FMT_LAYER).then(|| reader.read(variables::FMT_LAYER));
        let level = reader.choice_if_set(
            variables::LINE_LEVEL,
            &[
                ("debug", LogLevel::Debug),
                ("info", LogLevel::Info),
                ("warn", LogLevel::Warn),
                ("warning", LogLevel::Warn),
                ("error", LogLevel::Error),
            ],
        );
        let temporality = reader.choice(
            variables::METRICS_TEMPORALITY,
            &[
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                ("lowmemory", Temporality::LowMemory),
            ],
            Temporality::Delta,
        );
        let mut is_written = |exporter: SettingWithDefault<Word>| {
            reader.choice(exporter, &[("otlp", true), ("otlp/stdout", true), ("none", false)], true)
        };
        let writes = Writes {
            traces: is_written(variables::TRACES_EXPORTER),
            metrics: is_written(variables::METRICS_EXPORTER),
            logs: is_written(variables::LOGS_EXPORTER),
        };
        let (span_limits, span_value_length, record_limits) = limits(&mut reader);
        let output = "OTLP_STDOUT_SPAN_EXPORTER_OUTPUT_TYPE";
        if source.get(output).is_some_and(|output| output.eq_ignore_ascii_case("pipe")) {
            reader.warn(output, "there is no output to a pipe, telemetry goes to stdout");
        }
        let mut config = Self {
            mode,
            queue_size,
            fmt_layer,
            log_filter: reader.read(variables::RUST_LOG),
            #[cfg(any(test, feature = "lambda-otel-lite"))]
            log_level: reader.read(variables::LOG_LEVEL.if_set()),
            compression_level: count_in(
                &mut reader,
                shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL.if_set(),
                0..=9,
            )
            .and_then(|level| level.try_into().ok()),
            level,
            writes_compact_lines: reader.choice(
                shared::LAMBDA_OTLP_LINE,
                &[("standard", false), ("compact", true)],
                false,
            ),
            max_line_bytes: max_line_bytes(&mut reader),
            disabled: reader.choice(
                variables::SDK_DISABLED,
                &[("true", true), ("false", false)],
                false,
            ),
            writes,
            span_limits,
            span_value_length,
            record_limits,
            service_name: reader.read(shared::OTEL_SERVICE_NAME),
            resource_attributes: reader.read(variables::RESOURCE_ATTRIBUTES),
            propagators: reader.read(variables::PROPAGATORS.if_set()),
            sampler: sampler(&mut reader),
            temporality,
            inferred_spans: reader.read(shared::LAMBDA_OTLP_INFERRED_SPANS),
            lambda: LambdaEnvironment::from_source(source),
            complaint: String::new(),
        };
        let mut parts: Vec<String> = reader.warnings().iter().map(ToString::to_string).collect();
        parts.extend(reader.finish().iter().map(ToString::to_string));
        config.complaint = parts.join("; ");
        config
    }

    #[cfg(any(test, feature = "lambda-otel-lite"))]
    /// The most verbose level of lambda-otel-lite's events, from Lambda's log level or the application's.
    pub(crate) fn event_level(&self) -> LevelFilter {
        let name = self.lambda.log_level.as_deref().or(self.log_level.as_deref());
        let level = name.and_then(level_of_lambda).filter(|level| *level != LevelFilter::OFF);
        level.unwrap_or(LevelFilter::INFO)
    }
}

/// Lambda's levels equal those of `tracing`, except FATAL (Lambda Developer Guide, "Log-level filtering").
pub(crate) fn level_of_lambda(level: &str) -> Option<LevelFilter> {
    if level.eq_ignore_ascii_case("fatal") { Some(LevelFilter::ERROR) } else { level.parse().ok() }
}

/// The number, or the nearer end of the range.
fn count_in(
    reader: &mut Reader<'_>,
    setting: Setting<usize>,
    range: RangeInclusive<usize>,
) -> Option<usize> {
    let first = *range.start();
    let last = *range.end();
    let count = reader.read(setting)?;
    if !range.contains(&count) {
        reader.mistake(setting, format!("not {first} to {last}, the nearer end is used"));
    }
    Some(count.clamp(first, last))
}

fn max_line_bytes(reader: &mut Reader<'_>) -> usize {
    let bytes = reader.read(shared::LAMBDA_OTLP_MAX_LINE_BYTES);
    if !MAX_LINE_BYTES.contains(&bytes) {
        reader.mistake(
            shared::LAMBDA_OTLP_MAX_LINE_BYTES,
            "outside 1 KiB to 250 KiB, the nearer end is used",
        );
    }
    bytes.clamp(*MAX_LINE_BYTES.start(), *MAX_LINE_BYTES.end())
}

fn sampler(reader: &mut Reader<'_>) -> Option<Sampler> {
    let ratio = Sampler::TraceIdRatioBased(reader.read(variables::TRACES_SAMPLER_ARG));
    let parent_based = |root: Sampler| Sampler::ParentBased(Box::new(root));
    reader.choice_if_set(
        variables::TRACES_SAMPLER.if_set(),
        &[
            ("always_on", Sampler::AlwaysOn),
            ("always_off", Sampler::AlwaysOff),
            ("traceidratio", ratio.clone()),
            ("parentbased_always_on", parent_based(Sampler::AlwaysOn)),
            ("parentbased_always_off", parent_based(Sampler::AlwaysOff)),
            ("parentbased_traceidratio", parent_based(ratio)),
        ],
    )
}

/// Lambda's variables about the function (Lambda Developer Guide, "Defined runtime environment variables").
#[derive(Debug, Clone, Default)]
pub(crate) struct LambdaEnvironment {
    pub(crate) region: Option<String>,
    pub(crate) function_name: Option<String>,
    pub(crate) function_version: Option<String>,
    pub(crate) memory_mib: Option<i64>,
    pub(crate) log_group: Option<String>,
    pub(crate) log_stream: Option<String>,
    pub(crate) runtime_api: Option<String>,
    /// The application log level, only with the JSON log format.
    pub(crate) json_log_level: Option<String>,
    pub(crate) log_level: Option<String>,
    pub(crate) initialization_type: InitializationType,
}

/// The initialization type of the environment (`AWS_LAMBDA_INITIALIZATION_TYPE`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum InitializationType {
    #[default]
    OnDemand,
    /// Started ahead of time, so that no invocation waits.
    ProvisionedConcurrency,
    /// Started once, and restored from a snapshot each time.
    SnapStart,
    /// Lambda Managed Instances: concurrent invocations, and no freeze between them.
    ManagedInstances,
}

impl LambdaEnvironment {
    fn from_source(source: &dyn Source) -> Self {
        let log_level = source.get("AWS_LAMBDA_LOG_LEVEL");
        let is_json = source
            .get("AWS_LAMBDA_LOG_FORMAT")
            .is_some_and(|format| format.eq_ignore_ascii_case("json"));
        Self {
            region: source.get("AWS_REGION"),
            function_name: source.get("AWS_LAMBDA_FUNCTION_NAME"),
            function_version: source.get("AWS_LAMBDA_FUNCTION_VERSION"),
            memory_mib: source
                .get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
                .and_then(|size| size.parse().ok()),
            log_group: source.get("AWS_LAMBDA_LOG_GROUP_NAME"),
            log_stream: source.get("AWS_LAMBDA_LOG_STREAM_NAME"),
            runtime_api: source.get("AWS_LAMBDA_RUNTIME_API"),
            // Lambda treats a line without a level as INFO.
            json_log_level: is_json.then(|| log_level.clone().unwrap_or_else(|| "INFO".to_owned())),
            log_level,
            initialization_type: match source.get("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() {
                Some("provisioned-concurrency") => InitializationType::ProvisionedConcurrency,
                Some("snap-start") => InitializationType::SnapStart,
                Some("lambda-managed-instances") => InitializationType::ManagedInstances,
                _ => InitializationType::OnDemand,
            },
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordLimits {
    pub(crate) attributes: usize,
    /// Maximum length of a text attribute in characters, and of a byte array in bytes.
    pub(crate) value_length: usize,
}

/// Reads the limits. A limit of spans or log records takes precedence over the general limit.
fn limits(reader: &mut Reader<'_>) -> (SpanLimits, usize, RecordLimits) {
    let count = reader.read(variables::ATTRIBUTE_COUNT_LIMIT);
    let length = reader.read(variables::ATTRIBUTE_VALUE_LENGTH_LIMIT);
    let mut limit =
        |setting: Setting<usize>, general: Option<usize>| reader.read(setting).or(general);
    let value_length = limit(variables::SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT, length);
    let records = RecordLimits {
        attributes: limit(variables::LOGRECORD_ATTRIBUTE_COUNT_LIMIT, count).unwrap_or(usize::MAX),
        value_length: limit(variables::LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT, length)
            .unwrap_or(usize::MAX),
    };
    let mut counts = SpanLimits::default();
    for (setting, general, target) in [
        (variables::SPAN_ATTRIBUTE_COUNT_LIMIT, count, &mut counts.max_attributes_per_span),
        (variables::EVENT_ATTRIBUTE_COUNT_LIMIT, count, &mut counts.max_attributes_per_event),
        (variables::LINK_ATTRIBUTE_COUNT_LIMIT, count, &mut counts.max_attributes_per_link),
        (variables::SPAN_EVENT_COUNT_LIMIT, None, &mut counts.max_events_per_span),
        (variables::SPAN_LINK_COUNT_LIMIT, None, &mut counts.max_links_per_span),
    ] {
        if let Some(limit) = limit(setting.if_set(), general) {
            *target = u32::try_from(limit).unwrap_or(u32::MAX);
        }
    }
    (counts, value_length.unwrap_or(usize::MAX), records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn the_table_of_variables_is_consistent() {
        assert_eq!(TABLE.problems(), [""; 0]);
        assert_eq!(Config::from_source(&[]).complaint, "", "each variable is read as its row says");
    }

    #[test]
    fn lambdas_level_of_events_precedes_the_applications_and_info() {
        let level_alone = Config::from_source(&[("LOG_LEVEL", "debug")]);
        let both = [("LOG_LEVEL", "debug"), ("AWS_LAMBDA_LOG_LEVEL", "FATAL")];
        let unknown = Config::from_source(&[("LOG_LEVEL", "loud")]);
        let levels =
            [level_alone, Config::from_source(&both), unknown].map(|config| config.event_level());
        assert_eq!(levels, [LevelFilter::DEBUG, LevelFilter::ERROR, LevelFilter::INFO]);
    }

    #[test]
    fn mistakes_in_variables_are_reported_in_one_line_and_replaced() {
        fn check<const N: usize>(variables: &[(&str, &str); N], expected: &Expect) -> Config {
            let config = Config::from_source(variables);
            expected.assert_eq(&config.complaint.replace("; ", "\n"));
            config
        }
        let config = check(
            &[
                ("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", "many"),
                ("OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL", "11"),
                ("LAMBDA_OTLP_MAX_LINE_BYTES", "1MiB"),
                ("LAMBDA_OTLP_MAX_LINE_BYTE", "60KiB"),
                ("LAMBDA_OTLP_LINE", "short"),
                ("OTEL_TRACES_SAMPLER", "sometimes"),
            ],
            &expect![[r#"
                LAMBDA_OTLP_MAX_LINE_BYTE: unknown
                did you mean LAMBDA_OTLP_MAX_LINE_BYTES?
                LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE: "many" is not a whole number
                OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL: not 0 to 9, the nearer end is used
                LAMBDA_OTLP_LINE: "short" is not `standard` or `compact`
                LAMBDA_OTLP_MAX_LINE_BYTES: outside 1 KiB to 250 KiB, the nearer end is used
                OTEL_TRACES_SAMPLER: "sometimes" is not `always_on`, `always_off`, `traceidratio`, `parentbased_always_on`, `parentbased_always_off` or `parentbased_traceidratio`"#]],
        );
        assert!(!config.writes_compact_lines);
        assert_eq!((config.queue_size, config.compression_level), (None, Some(9)));
        assert_eq!(config.max_line_bytes, 250 * 1024);
        let config = check(
            &[
                ("OTEL_METRICS_EXPORTER", "prometheus"),
                ("OTEL_LOGS_EXPORTER", "NONE"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
                ("OTEL_BSP_SCHEDULE_DELAY", "100"),
                ("OTLP_STDOUT_SPAN_EXPORTER_OUTPUT_TYPE", "pipe"),
            ],
            &expect![[r#"
                OTLP_STDOUT_SPAN_EXPORTER_OUTPUT_TYPE: there is no output to a pipe, telemetry goes to stdout
                OTEL_METRICS_EXPORTER: "prometheus" is not `otlp`, `otlp/stdout` or `none`"#]],
        );
        assert!(config.writes.traces && config.writes.metrics && !config.writes.logs);
        for (value, expected) in [("0", Some(1)), ("65536", Some(65_536)), ("65537", Some(65_536))]
        {
            let config = Config::from_source(&[("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", value)]);
            assert_eq!(config.queue_size, expected);
            assert_eq!(config.complaint.is_empty(), value == "65536", "{}", config.complaint);
        }
    }
}
