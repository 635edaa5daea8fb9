//! The table of the exporter's variables, from which the documentation is generated.

use settings::{Kind, Table, Variable, shared};

/// The exporter's variables.
pub const TABLE: Table = Table::new(&[
    &[
        shared::LAMBDA_OTLP_INFERRED_SPANS,
        shared::LAMBDA_OTLP_LINE,
        shared::LAMBDA_OTLP_MAX_LINE_BYTES,
    ],
    &[
        Variable {
            name: "OTEL_SDK_DISABLED",
            default: Some("false"),
            kind: Kind::Choice(&["true", "false"]),
            doc: "Set `true` to turn telemetry off. The function still propagates its caller's context.",
        },
        exporter("OTEL_TRACES_EXPORTER", "Set `none` to write no spans, except with your own processors and providers."),
        exporter("OTEL_METRICS_EXPORTER", "Set `none` to write no metrics, except with your own readers and providers."),
        exporter("OTEL_LOGS_EXPORTER", "Set `none` to write no log records, except with your own processors and providers."),
        shared::OTEL_SERVICE_NAME,
        Variable {
            name: "OTEL_RESOURCE_ATTRIBUTES",
            default: None,
            kind: Kind::Text,
            doc: "Additional resource attributes, such as `deployment.environment.name=prod,team=shop`, percent-encoded.",
        },
        shared::OTEL_PROPAGATORS.with_default("tracecontext,baggage").with_doc("Headers that carry trace context: `tracecontext`, `baggage`, `xray`, `xray-lambda`, `none`. Add `xray` if callers or callees use X-Ray's header."),
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
            doc: "Set a `traceidratio` sampler to record fewer traces. The `parentbased` samplers follow the caller's decision.",
        },
        Variable {
            name: "OTEL_TRACES_SAMPLER_ARG",
            default: Some("1"),
            kind: Kind::Ratio,
            doc: "The fraction of traces that the `traceidratio` samplers record, such as `0.1`.",
        },
        Variable {
            name: "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            default: Some("delta"),
            kind: Kind::Choice(&["cumulative", "delta", "lowmemory"]),
            doc: "Temporality of sums and histograms. Set `cumulative` only if your backend cannot read delta: each environment counts from zero.",
        },
        Variable {
            name: "RUST_LOG",
            default: None,
            kind: Kind::Text,
            doc: "The `tracing` [events to record](rust.md#levels), as `level` or `target=level,…`. Set it to see more, such as `info,aws_smithy_runtime=debug`. Default: the more detailed of the level in the code and `AWS_LAMBDA_LOG_LEVEL`.",
        },
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
    "LAMBDA_OTLP_SPAN_END",
    "LAMBDA_OTLP_SPAN_MAPPING",
    "LAMBDA_OTLP_STREAM",
]);

const fn exporter(name: &'static str, doc: &'static str) -> Variable {
    let kind = Kind::Choice(&["otlp", "otlp/stdout", "none"]);
    Variable { name, default: Some("otlp"), kind, doc }
}

/// The names of lambda-otel-lite and otlp-stdout-span-exporter.
const ALIASES: &[Variable] = &[
    Variable {
        name: "LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE",
        default: Some("sync"),
        kind: Kind::Choice(&["sync", "async", "finalize"]),
        doc: "lambda-otel-lite: when the function [writes its telemetry](rust.md#end-of-an-invocation). `sync`: before the response. `async`: after it, so that the caller does not wait. `finalize`: at the end of the environment, for your own span processors.",
    },
    Variable {
        name: "LAMBDA_SPAN_PROCESSOR_QUEUE_SIZE",
        default: Some("2048"),
        kind: Kind::Count,
        doc: "lambda-otel-lite: number of spans, and of log records, to hold in memory, 1 to 65,536. A full buffer is written early.",
    },
    Variable {
        name: "LAMBDA_TRACING_ENABLE_FMT_LAYER",
        default: Some("false"),
        kind: Kind::Switch,
        doc: "lambda-otel-lite: `true` prints `tracing` events as text instead of writing log records.",
    },
    Variable {
        name: "OTLP_STDOUT_SPAN_EXPORTER_LOG_LEVEL",
        default: None,
        kind: Kind::Choice(&["debug", "info", "warn", "warning", "error"]),
        doc: "otlp-stdout-span-exporter: value of `level` in each line with the text log format.",
    },
    Variable {
        name: "LOG_LEVEL",
        default: Some("info"),
        kind: Kind::Text,
        doc: "lambda-otel-lite: lowest severity that `record_event` and `event` record, unless `AWS_LAMBDA_LOG_LEVEL` is set.",
    },
    shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL,
];

/// The limits of OpenTelemetry's specification, with its defaults. The documentation refers to the specification.
const LIMITS: &[Variable] = &[
    limit("OTEL_ATTRIBUTE_COUNT_LIMIT", None),
    limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None),
    limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", Some("128")),
    limit("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", None),
    limit("OTEL_SPAN_EVENT_COUNT_LIMIT", Some("128")),
    limit("OTEL_SPAN_LINK_COUNT_LIMIT", Some("128")),
    limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", Some("128")),
    limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", Some("128")),
    limit("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", None),
    limit("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", None),
];

const fn limit(name: &'static str, default: Option<&'static str>) -> Variable {
    Variable { name, default, kind: Kind::Count, doc: "A limit of OpenTelemetry's specification." }
}
