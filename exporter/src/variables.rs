//! The table of the exporter's variables, from which the documentation is generated.

use settings::{Setting, SettingWithDefault, Table, Variable, Word, shared};

/// The exporter's variables.
pub(crate) const TABLE: Table = Table::new(&[
    &[
        shared::LAMBDA_OTLP_INFERRED_SPANS.row(),
        shared::LAMBDA_OTLP_LINE.row(),
        shared::LAMBDA_OTLP_MAX_LINE_BYTES.row(),
    ],
    &[
        SDK_DISABLED.row(),
        TRACES_EXPORTER.row(),
        METRICS_EXPORTER.row(),
        LOGS_EXPORTER.row(),
        shared::OTEL_SERVICE_NAME.row(),
        RESOURCE_ATTRIBUTES.row(),
        PROPAGATORS.row(),
        TRACES_SAMPLER.row(),
        TRACES_SAMPLER_ARG.row(),
        METRICS_TEMPORALITY.row(),
        RUST_LOG.row(),
    ],
])
.with_aliases(&[ALIASES])
.with_unlisted(&[LIMITS])
.with_known_elsewhere(&[
    "LAMBDA_OTLP_BACKEND",
    "LAMBDA_OTLP_CA_FILE",
    "LAMBDA_OTLP_CONFIG_FILE",
    "LAMBDA_OTLP_ENDPOINT",
    "LAMBDA_OTLP_HEADERS",
    "LAMBDA_OTLP_INVOCATION_SPAN",
    "LAMBDA_OTLP_LOG_LEVEL",
    "LAMBDA_OTLP_NAMES",
    "LAMBDA_OTLP_OUTPUT",
    "LAMBDA_OTLP_PROTOCOL",
    "LAMBDA_OTLP_PROXY",
    "LAMBDA_OTLP_SECRET",
    "LAMBDA_OTLP_SIGNALS",
    "LAMBDA_OTLP_SPAN_END",
    "LAMBDA_OTLP_SPAN_MAPPING",
    "LAMBDA_OTLP_STREAM",
]);

const fn exporter(name: &'static str, doc: &'static str) -> SettingWithDefault<Word> {
    Setting::choice(name, &["otlp", "otlp/stdout", "none"], doc).with_default("otlp")
}

/// The names of lambda-otel-lite and otlp-stdout-span-exporter.
const ALIASES: &[Variable] = &[
    PROCESSOR_MODE.row(),
    QUEUE_SIZE.row(),
    FMT_LAYER.row(),
    LINE_LEVEL.row(),
    LOG_LEVEL.row(),
    shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL.row(),
];

/// The limits of OpenTelemetry's specification, with its defaults. The documentation refers to the specification.
const LIMITS: &[Variable] = &[
    ATTRIBUTE_COUNT_LIMIT.row(),
    ATTRIBUTE_VALUE_LENGTH_LIMIT.row(),
    SPAN_ATTRIBUTE_COUNT_LIMIT.row(),
    SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT.row(),
    SPAN_EVENT_COUNT_LIMIT.row(),
    SPAN_LINK_COUNT_LIMIT.row(),
    EVENT_ATTRIBUTE_COUNT_LIMIT.row(),
    LINK_ATTRIBUTE_COUNT_LIMIT.row(),
    LOGRECORD_ATTRIBUTE_COUNT_LIMIT.row(),
    LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT.row(),
];

pub(crate) const ATTRIBUTE_COUNT_LIMIT: Setting<usize> = limit("OTEL_ATTRIBUTE_COUNT_LIMIT");
pub(crate) const ATTRIBUTE_VALUE_LENGTH_LIMIT: Setting<usize> =
    limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT");
pub(crate) const SPAN_ATTRIBUTE_COUNT_LIMIT: SettingWithDefault<usize> =
    limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT").with_default("128");
pub(crate) const SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: Setting<usize> =
    limit("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT");
pub(crate) const SPAN_EVENT_COUNT_LIMIT: SettingWithDefault<usize> =
    limit("OTEL_SPAN_EVENT_COUNT_LIMIT").with_default("128");
pub(crate) const SPAN_LINK_COUNT_LIMIT: SettingWithDefault<usize> =
    limit("OTEL_SPAN_LINK_COUNT_LIMIT").with_default("128");
pub(crate) const EVENT_ATTRIBUTE_COUNT_LIMIT: SettingWithDefault<usize> =
    limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT").with_default("128");
pub(crate) const LINK_ATTRIBUTE_COUNT_LIMIT: SettingWithDefault<usize> =
    limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT").with_default("128");
pub(crate) const LOGRECORD_ATTRIBUTE_COUNT_LIMIT: Setting<usize> =
    limit("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT");
pub(crate) const LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT: Setting<usize> =
    limit("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT");

const fn limit(name: &'static str) -> Setting<usize> {
    Setting::count(name, "A limit of OpenTelemetry's specification.")
}

pub(crate) const SDK_DISABLED: SettingWithDefault<Word> = Setting::choice(
    "OTEL_SDK_DISABLED",
    &["true", "false"],
    "Set `true` to turn telemetry off. The function still propagates its caller's context.",
)
.with_default("false");

pub(crate) const RESOURCE_ATTRIBUTES: Setting<String> = Setting::text(
    "OTEL_RESOURCE_ATTRIBUTES",
    "Additional resource attributes, such as `deployment.environment.name=prod,team=shop`, percent-encoded.",
);

pub(crate) const TRACES_SAMPLER: SettingWithDefault<Word> =
    Setting::choice("OTEL_TRACES_SAMPLER", &[
                "always_on",
                "always_off",
                "traceidratio",
                "parentbased_always_on",
                "parentbased_always_off",
                "parentbased_traceidratio",
            ], "Set a `traceidratio` sampler to record fewer traces. The `parentbased` samplers follow the caller's decision.").with_default("parentbased_always_on");

pub(crate) const TRACES_SAMPLER_ARG: SettingWithDefault<f64> = Setting::ratio(
    "OTEL_TRACES_SAMPLER_ARG",
    "The fraction of traces that the `traceidratio` samplers record, such as `0.1`.",
)
.with_default("1");

pub(crate) const METRICS_TEMPORALITY: SettingWithDefault<Word> =
    Setting::choice("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", &["cumulative", "delta", "lowmemory"], "Temporality of sums and histograms. Set `cumulative` only if your backend cannot read delta: each environment counts from zero.").with_default("delta");

pub(crate) const RUST_LOG: Setting<String> = Setting::text(
    "RUST_LOG",
    "The `tracing` [events to record](rust.md#levels), as `level` or `target=level,…`. Set it to see more, such as `info,aws_smithy_runtime=debug`. Default: the more detailed of the level in the code and `AWS_LAMBDA_LOG_LEVEL`.",
);

pub(crate) const PROCESSOR_MODE: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE", &["sync", "async", "finalize"], "lambda-otel-lite: when the function [writes its telemetry](rust.md#end-of-an-invocation). `sync`: before the response. `async`: after it, so that the caller does not wait. `finalize`: at the end of the environment, for your own span processors.").with_default("sync");

pub(crate) const QUEUE_SIZE: SettingWithDefault<usize> =
    Setting::count("LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE", "lambda-otel-lite: number of spans, and of log records, to hold in memory, 1 to 65,536. A full buffer is written early.").with_default("2048");

pub(crate) const FMT_LAYER: SettingWithDefault<bool> = Setting::switch(
    "LAMBDA_TRACING_ENABLE_FMT_LAYER",
    "lambda-otel-lite: `true` prints `tracing` events as text instead of writing log records.",
)
.with_default("false");

pub(crate) const LINE_LEVEL: Setting<Word> = Setting::choice(
    "OTLP_STDOUT_SPAN_EXPORTER_LOG_LEVEL",
    &["debug", "info", "warn", "warning", "error"],
    "otlp-stdout-span-exporter: value of `level` in each line with the text log format.",
);

pub(crate) const LOG_LEVEL: SettingWithDefault<String> =
    Setting::text("LOG_LEVEL", "lambda-otel-lite: lowest severity that `record_event` and `event` record, unless `AWS_LAMBDA_LOG_LEVEL` is set.").with_default("info");

pub(crate) const TRACES_EXPORTER: SettingWithDefault<Word> = exporter(
    "OTEL_TRACES_EXPORTER",
    "Set `none` to write no spans, except with your own processors and providers.",
);

pub(crate) const METRICS_EXPORTER: SettingWithDefault<Word> = exporter(
    "OTEL_METRICS_EXPORTER",
    "Set `none` to write no metrics, except with your own readers and providers.",
);

pub(crate) const LOGS_EXPORTER: SettingWithDefault<Word> = exporter(
    "OTEL_LOGS_EXPORTER",
    "Set `none` to write no log records, except with your own processors and providers.",
);

pub(crate) const PROPAGATORS: SettingWithDefault<String> =
    shared::OTEL_PROPAGATORS.with_default("tracecontext,baggage").with_doc("Headers that carry trace context: `tracecontext`, `baggage`, `xray`, `xray-lambda`, `none`. Add `xray` if callers or callees use X-Ray's header.");
