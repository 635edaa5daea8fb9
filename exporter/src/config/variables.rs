//! The table of the variables that the exporter reads; the documents are made of it.

use settings::{Kind, Table, Variable, shared};

/// The variables that the exporter reads.
pub const TABLE: Table = Table::new(&[
    &[
        Variable {
            name: "LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE",
            default: Some("sync"),
            kind: Kind::Choice(&["sync", "async", "finalize"]),
            doc: "When telemetry is written: `sync` before the response; `async` after it, by an extension inside the process; `finalize` at the end of the environment, for processors of one's own. A mode that cannot be had is `sync`, and one line on stderr says why.",
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
            doc: "Prints `tracing` events on stdout instead of writing them as OTLP log records; `RUST_LOG` says which, else `AWS_LAMBDA_LOG_LEVEL`.",
        },
        shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL,
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
        shared::LAMBDA_OTLP_MAX_LINE_BYTES,
    ],
    &[
        Variable {
            name: "OTEL_SDK_DISABLED",
            default: Some("false"),
            kind: Kind::Switch,
            doc: "Switches all telemetry off.",
        },
        shared::OTEL_SERVICE_NAME,
        Variable {
            name: "OTEL_RESOURCE_ATTRIBUTES",
            default: None,
            kind: Kind::Text,
            doc: "`key=value,…`, percent-encoded: added to the resource.",
        },
        shared::OTEL_PROPAGATORS.with_default("tracecontext,baggage").with_doc("Where a parent is read and written: `tracecontext`, `baggage`, `xray`, `xray-lambda`, `none`."),
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
            doc: "Which `tracing` events are recorded, or printed: `level` or `target=level,…`; else what code says, or `AWS_LAMBDA_LOG_LEVEL` where that is more. Spans below INFO are recorded with them, and none is switched off. AWS's SDK is recorded below INFO, and its spans are, only where its crates are named: `info,aws_smithy_runtime=debug`.",
        },
        Variable {
            name: "LOG_LEVEL",
            default: Some("info"),
            kind: Kind::Text,
            doc: "The least severe of lambda-otel-lite's events (`record_event`, `event`) that are recorded, where `AWS_LAMBDA_LOG_LEVEL` is not set: `trace`, `debug`, `info`, `warn` or `error`.",
        },
    ],
])
.with_known_elsewhere(&[
    "LAMBDA_OTLP_BACKEND",
    "LAMBDA_OTLP_CA_FILE",
    "LAMBDA_OTLP_CONFIG_FILE",
    "LAMBDA_OTLP_ENDPOINT",
    "LAMBDA_OTLP_HEADERS",
    "LAMBDA_OTLP_HOLD",
    "LAMBDA_OTLP_INVOCATION_SPAN",
    "LAMBDA_OTLP_LOG_LEVEL",
    "LAMBDA_OTLP_MAX_COLUMNS",
    "LAMBDA_OTLP_MAX_REQUEST_BYTES",
    "LAMBDA_OTLP_NAMES",
    "LAMBDA_OTLP_OUTPUT",
    "LAMBDA_OTLP_PROTOCOL",
    "LAMBDA_OTLP_PROXY",
    "LAMBDA_OTLP_SECRET",
    "LAMBDA_OTLP_SECRET_TTL",
    "LAMBDA_OTLP_SPAN_END",
    "LAMBDA_OTLP_SPAN_MAPPING",
    "LAMBDA_OTLP_STREAM",
    "LAMBDA_OTLP_TELEMETRY_MAX_BYTES",
    "LAMBDA_OTLP_TELEMETRY_MAX_ITEMS",
    "LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS",
]);
