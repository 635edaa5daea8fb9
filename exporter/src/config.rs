//! The variables of the exporter: one table, read once.

use crate::line_exporter::LogLevel;
use crate::mode::ProcessorMode;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::Sampler;
use settings::{Kind, Reader, Source, Table, Variable};

pub(crate) const DEFAULT_COMPRESSION_LEVEL: u32 = 6;
pub(crate) const DEFAULT_QUEUE_SIZE: usize = 2048;
/// A longer queue is no early write, but memory and time at the end of the invocation.
pub(crate) const MAX_QUEUE_SIZE: usize = 65_536;
/// A raw stdout line of more than 65,536 bytes may arrive as several log events.
const MAX_LINE_BYTES: std::ops::RangeInclusive<usize> = 1024..=250 * 1024;

/// The variables that the exporter reads.
pub const TABLE: Table = Table::new(&[
    &[
        Variable {
            name: "LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE",
            default: Some("sync"),
            kind: Kind::Choice(&["sync", "async", "finalize"]),
            doc: "When telemetry is written: before the response, after it, or when the environment ends.",
        },
        Variable {
            name: "LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE",
            default: Some("2048"),
            kind: Kind::Count,
            doc: "How many spans, and how many log records, wait in memory, from 1 to 65,536; a buffer that is full, or holds about 1 MiB, is written early.",
        },
        Variable {
            name: "LAMBDA_TRACING_ENABLE_FMT_LAYER",
            default: Some("false"),
            kind: Kind::Switch,
            doc: "Prints `tracing` events on stdout as well, filtered by `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`.",
        },
        Variable {
            name: "OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL",
            default: Some("6"),
            kind: Kind::Count,
            doc: "gzip level of the lines, 0 (stored) to 9.",
        },
        Variable {
            name: "OTLP_STDOUT_SPAN_EXPORTER_OUTPUT_TYPE",
            default: Some("stdout"),
            kind: Kind::Choice(&["stdout", "pipe"]),
            doc: "Where lines go: stdout, or the named pipe `/tmp/otlp-stdout-span-exporter.pipe`, with stdout where nobody reads it.",
        },
        Variable {
            name: "OTLP_STDOUT_SPAN_EXPORTER_LOG_LEVEL",
            default: None,
            kind: Kind::Choice(&["debug", "info", "warn", "warning", "error"]),
            doc: "Written as `level` in text log format; under the JSON format the configured level is written instead.",
        },
        Variable {
            name: "LAMBDA_OTLP_MAX_LINE_BYTES",
            default: Some("60KiB"),
            kind: Kind::Bytes,
            doc: "Longest line; a larger batch becomes several lines. From 1 KiB to 250 KiB.",
        },
    ],
    &[
        Variable {
            name: "OTEL_SDK_DISABLED",
            default: Some("false"),
            kind: Kind::Switch,
            doc: "Switches all telemetry off.",
        },
        Variable {
            name: "OTEL_SERVICE_NAME",
            default: None,
            kind: Kind::Text,
            doc: "`service.name`; else the function's name.",
        },
        Variable {
            name: "OTEL_RESOURCE_ATTRIBUTES",
            default: None,
            kind: Kind::Text,
            doc: "`key=value,…`, percent-encoded: added to the resource.",
        },
        Variable {
            name: "OTEL_PROPAGATORS",
            default: Some("tracecontext,baggage"),
            kind: Kind::Text,
            doc: "Where a parent is read and written: `tracecontext`, `baggage`, `xray`, `xray-lambda`, `none`.",
        },
        Variable {
            name: "OTEL_TRACES_SAMPLER",
            default: Some("parentbased_always_on"),
            kind: Kind::Choice(&[
                "always_on",
                "always_off",
                "traceidratio",
                "parentbased_always_on",
                "parentbased_always_off",
                "parentbased_traceidratio",
            ]),
            doc: "Which traces are recorded.",
        },
        Variable {
            name: "OTEL_TRACES_SAMPLER_ARG",
            default: Some("1"),
            kind: Kind::Ratio,
            doc: "The share of traces that the `traceidratio` samplers record.",
        },
        Variable {
            name: "OTEL_SEMCONV_STABILITY_OPT_IN",
            default: None,
            kind: Kind::Text,
            doc: "`http/dup` writes the deprecated HTTP attribute names as well.",
        },
        Variable {
            name: "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            default: Some("delta"),
            kind: Kind::Choice(&["cumulative", "delta", "lowmemory"]),
            doc: "Temporality of sums and histograms. An environment is short-lived and counts alone, hence delta.",
        },
        Variable {
            name: "RUST_LOG",
            default: None,
            kind: Kind::Text,
            doc: "What the fmt layer prints: `level` or `target=level,…`. It never switches spans off.",
        },
    ],
])
.with_known_elsewhere(&[
    "LAMBDA_OTLP_BACKEND",
    "LAMBDA_OTLP_ENDPOINT",
    "LAMBDA_OTLP_HEADERS",
    "LAMBDA_OTLP_HOLD",
    "LAMBDA_OTLP_INVOCATION_SPAN",
    "LAMBDA_OTLP_LINE",
    "LAMBDA_OTLP_LINE_SEQ",
    "LAMBDA_OTLP_LOGS_FLUSH_INTERVAL",
    "LAMBDA_OTLP_LOG_LEVEL",
    "LAMBDA_OTLP_METRICS_FLUSH_INTERVAL",
    "LAMBDA_OTLP_NAMES",
    "LAMBDA_OTLP_OUTPUT",
    "LAMBDA_OTLP_PROTOCOL",
    "LAMBDA_OTLP_SECRET",
    "LAMBDA_OTLP_SPAN_END",
    "LAMBDA_OTLP_SPAN_MAPPING",
    "LAMBDA_OTLP_STREAM",
    "LAMBDA_OTLP_TELEMETRY_MAX_BYTES",
    "LAMBDA_OTLP_TELEMETRY_MAX_ITEMS",
    "LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS",
    "LAMBDA_OTLP_TRACES_FLUSH_INTERVAL",
]);

/// What Lambda says about the function in its environment
/// (Lambda Developer Guide, "Defined runtime environment variables").
#[derive(Debug, Clone, Default)]
pub(crate) struct Platform {
    pub(crate) region: Option<String>,
    pub(crate) function_name: Option<String>,
    pub(crate) function_version: Option<String>,
    pub(crate) memory_mib: Option<i64>,
    pub(crate) log_group: Option<String>,
    pub(crate) log_stream: Option<String>,
    pub(crate) runtime_api: Option<String>,
    /// The application log level, under the JSON log format only.
    pub(crate) json_log_level: Option<String>,
    pub(crate) log_level: Option<String>,
    /// Provisioned concurrency: nobody waited for this environment's start.
    pub(crate) is_provisioned: bool,
}

/// What the environment says; `None` where it says nothing and code or default decides.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) mode: Option<ProcessorMode>,
    pub(crate) queue_size: Option<usize>,
    pub(crate) fmt_layer: Option<bool>,
    pub(crate) log_filter: Option<String>,
    pub(crate) compression_level: Option<u32>,
    pub(crate) pipe: Option<bool>,
    pub(crate) level: Option<LogLevel>,
    pub(crate) max_line_bytes: usize,
    pub(crate) disabled: bool,
    pub(crate) service_name: Option<String>,
    pub(crate) resource_attributes: Option<String>,
    pub(crate) propagators: Option<String>,
    pub(crate) sampler: Option<Sampler>,
    pub(crate) temporality: Temporality,
    /// Deprecated HTTP attribute names beside the stable ones.
    pub(crate) duplicate_http_names: bool,
    pub(crate) platform: Platform,
    /// What a person should know about the variables, in one line; empty mostly.
    pub(crate) complaint: String,
}

impl Config {
    /// Reads everything; what is wrong is noted and its default taken, since a wrong variable must not stop a function.
    pub(crate) fn from_source(source: &dyn Source) -> Self {
        let mut reader = Reader::new(source, TABLE);
        let mode = reader.choice_if_set(
            "LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE",
            &[
                ("sync", ProcessorMode::Sync),
                ("async", ProcessorMode::Async),
                ("finalize", ProcessorMode::Finalize),
            ],
        );
        let queue_size = queue_size(&mut reader);
        let fmt_layer = reader
            .is_set("LAMBDA_TRACING_ENABLE_FMT_LAYER")
            .then(|| reader.bool("LAMBDA_TRACING_ENABLE_FMT_LAYER"));
        let pipe = reader.choice_if_set(
            "OTLP_STDOUT_SPAN_EXPORTER_OUTPUT_TYPE",
            &[("stdout", false), ("pipe", true)],
        );
        let level = reader.choice_if_set(
            "OTLP_STDOUT_SPAN_EXPORTER_LOG_LEVEL",
            &[
                ("debug", LogLevel::Debug),
                ("info", LogLevel::Info),
                ("warn", LogLevel::Warn),
                ("warning", LogLevel::Warn),
                ("error", LogLevel::Error),
            ],
        );
        let temporality = reader.choice(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            &[
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                ("lowmemory", Temporality::LowMemory),
            ],
            Temporality::Delta,
        );
        let semconv = reader.string_if_set("OTEL_SEMCONV_STABILITY_OPT_IN").unwrap_or_default();
        let mut config = Self {
            mode,
            queue_size,
            fmt_layer,
            log_filter: reader.string_if_set("RUST_LOG"),
            compression_level: compression_level(&mut reader),
            pipe,
            level,
            max_line_bytes: max_line_bytes(&mut reader),
            disabled: reader.bool("OTEL_SDK_DISABLED"),
            service_name: reader.string_if_set("OTEL_SERVICE_NAME"),
            resource_attributes: reader.string_if_set("OTEL_RESOURCE_ATTRIBUTES"),
            propagators: reader.string_if_set("OTEL_PROPAGATORS"),
            sampler: sampler(&mut reader),
            temporality,
            duplicate_http_names: semconv.split(',').any(|name| name.trim() == "http/dup"),
            platform: Platform::from_source(source),
            complaint: String::new(),
        };
        config.complaint = complaint(reader);
        config
    }
}

fn queue_size(reader: &mut Reader<'_>) -> Option<usize> {
    const NAME: &str = "LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE";
    let size = reader.count_if_set(NAME)?;
    match size {
        0 => reader.mistake(NAME, "0 would hold nothing; the default is used"),
        1..=MAX_QUEUE_SIZE => {}
        _ => reader.mistake(NAME, "more than 65,536, which is used"),
    }
    (size > 0).then(|| size.min(MAX_QUEUE_SIZE))
}

fn compression_level(reader: &mut Reader<'_>) -> Option<u32> {
    const NAME: &str = "OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL";
    let level = reader.count_if_set(NAME)?;
    let level = u32::try_from(level).ok().filter(|level| *level <= 9);
    if level.is_none() {
        reader.mistake(NAME, "more than 9");
    }
    level
}

fn max_line_bytes(reader: &mut Reader<'_>) -> usize {
    const NAME: &str = "LAMBDA_OTLP_MAX_LINE_BYTES";
    let bytes = reader.bytes(NAME);
    if !MAX_LINE_BYTES.contains(&bytes) {
        reader.mistake(NAME, "outside 1 KiB to 250 KiB, the nearer end is used");
    }
    bytes.clamp(*MAX_LINE_BYTES.start(), *MAX_LINE_BYTES.end())
}

fn sampler(reader: &mut Reader<'_>) -> Option<Sampler> {
    let ratio = Sampler::TraceIdRatioBased(reader.ratio("OTEL_TRACES_SAMPLER_ARG"));
    let parent_based = |root: Sampler| Sampler::ParentBased(Box::new(root));
    reader.choice_if_set(
        "OTEL_TRACES_SAMPLER",
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

/// Mistakes and warnings in one line.
fn complaint(reader: Reader<'_>) -> String {
    let mut parts: Vec<String> = reader.warnings().iter().map(ToString::to_string).collect();
    parts.extend(reader.finish().iter().map(ToString::to_string));
    parts.join("; ")
}

impl Platform {
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
            // Lambda takes a line without a level for INFO.
            json_log_level: is_json.then(|| log_level.clone().unwrap_or_else(|| "INFO".to_owned())),
            log_level,
            is_provisioned: source.get("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref()
                == Some("provisioned-concurrency"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_right() {
        assert_eq!(TABLE.problems(), [""; 0]);
        assert_eq!(Config::from_source(&[]).complaint, "", "each variable is read as its row says");
    }

    #[test]
    fn all_mistakes_are_named_in_one_line_and_nothing_stops() {
        let config = Config::from_source(&[
            ("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", "many"),
            ("OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL", "11"),
            ("LAMBDA_OTLP_MAX_LINE_BYTES", "1MiB"),
            ("LAMBDA_OTLP_MAX_LINE_BYTE", "60KiB"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ]);
        assert_eq!(config.queue_size, None);
        assert_eq!(config.compression_level, None);
        assert_eq!(config.max_line_bytes, 250 * 1024);
        expect_test::expect![[r#"LAMBDA_OTLP_MAX_LINE_BYTE: unknown; did you mean LAMBDA_OTLP_MAX_LINE_BYTES?; LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE: "many" is not a whole number; OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL: more than 9; LAMBDA_OTLP_MAX_LINE_BYTES: outside 1 KiB to 250 KiB, the nearer end is used; OTEL_TRACES_SAMPLER: "sometimes" is not `always_on`, `always_off`, `traceidratio`, `parentbased_always_on`, `parentbased_always_off` or `parentbased_traceidratio`"#]]
        .assert_eq(&config.complaint);
    }

    #[test]
    fn the_queue_is_neither_empty_nor_endless() {
        let check = |value: &str, expected, complaint: &str| {
            let config = Config::from_source(&[("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", value)]);
            assert_eq!(config.queue_size, expected);
            assert!(config.complaint.ends_with(complaint), "{}", config.complaint);
            assert_eq!(config.complaint.is_empty(), complaint.is_empty());
        };
        check("1", Some(1), "");
        check("65536", Some(65_536), "");
        check(
            "0",
            None,
            "LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE: 0 would hold nothing; the default is used",
        );
        check(
            "65537",
            Some(65_536),
            "LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE: more than 65,536, which is used",
        );
    }

    #[test]
    fn the_json_log_format_gives_the_configured_level() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let source: std::collections::BTreeMap<String, String> =
                variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(Platform::from_source(&source).json_log_level.as_deref(), expected);
        };
        check(&[], None);
        check(&[("AWS_LAMBDA_LOG_LEVEL", "WARN")], None);
        check(&[("AWS_LAMBDA_LOG_FORMAT", "Text"), ("AWS_LAMBDA_LOG_LEVEL", "WARN")], None);
        check(&[("AWS_LAMBDA_LOG_FORMAT", "JSON")], Some("INFO"));
        check(
            &[("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "FATAL")],
            Some("FATAL"),
        );
    }
}
