//! Variables that several binaries read. [`Setting::with_doc`] replaces a meaning that differs in one of them.

use crate::setting::{Setting, SettingWithDefault, Word};

pub const LAMBDA_OTLP_BACKEND: SettingWithDefault<Word> = Setting::choice(
    "LAMBDA_OTLP_BACKEND",
    &["openobserve", "otlp"],
    "Set `otlp` for any backend other than OpenObserve.",
)
.with_default("openobserve");

pub const LAMBDA_OTLP_LOG_LEVEL: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_OTLP_LOG_LEVEL", &["error", "warn", "info", "debug"], "Level of this program's own log. `error` reports only losses and problems that a person must solve. Set `debug` to investigate.").with_default("warn");

pub const LAMBDA_OTLP_LINE: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_OTLP_LINE", &["standard", "compact"], "Format of OTLP lines. Set `compact` to write a fifth to a half of the bytes, once every reader of the log group reads compact lines.").with_default("standard");

pub const LAMBDA_OTLP_MAX_LINE_BYTES: SettingWithDefault<usize> =
    Setting::bytes("LAMBDA_OTLP_MAX_LINE_BYTES", "Maximum length of an OTLP line, 1 to 250 KiB. Increase it only if your log pipeline keeps longer lines whole.").with_default("60KiB");

pub const LAMBDA_OTLP_INFERRED_SPANS: SettingWithDefault<bool> =
    Setting::switch("LAMBDA_OTLP_INFERRED_SPANS", "Set `true` to see how long requests and messages [waited](signals.md#waiting-time) at API Gateway, SQS or EventBridge: one more span for each invocation.").with_default("false");

/// Names of metrics and attributes that are made of Lambda's own events.
pub const LAMBDA_OTLP_NAMES: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_OTLP_NAMES", &["current", "legacy"], "Set `legacy` to also write the [names of older systems](signals.md#the-older-names), while your dashboards use them.").with_default("current");

pub const LAMBDA_OTLP_SPAN_END: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_OTLP_SPAN_END", &["runtime_done", "report"], "Set `report` to have billed duration and memory on the invocation span, which then arrives with the next invocation.").with_default("runtime_done");

const SPAN_MAPPINGS: &[&str] = &["span_events", "child_spans"];

/// How the phases of an invocation are written.
pub const LAMBDA_OTLP_SPAN_MAPPING: SettingWithDefault<Word> = Setting::choice(
    "LAMBDA_OTLP_SPAN_MAPPING",
    SPAN_MAPPINGS,
    "Set `child_spans` to see the phases of an invocation as spans instead of span events.",
)
.with_default("span_events");

/// The older name of [`LAMBDA_OTLP_SPAN_MAPPING`].
pub const O2_SPAN_MAPPING_STRATEGY: Setting<Word> = Setting::choice(
    "O2_SPAN_MAPPING_STRATEGY",
    SPAN_MAPPINGS,
    "OpenObserve: `LAMBDA_OTLP_SPAN_MAPPING`.",
);

pub const OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL: SettingWithDefault<usize> = Setting::count(
    "OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL",
    "otlp-stdout-span-exporter: gzip level of OTLP lines, 0 to 9.",
)
.with_default("6");

pub const OTEL_SERVICE_NAME: Setting<String> = Setting::text(
    "OTEL_SERVICE_NAME",
    "The `service.name`, for several functions that form one service. Default: the function's name.",
);

/// Which headers carry a parent.
pub const OTEL_PROPAGATORS: Setting<String> = Setting::text(
    "OTEL_PROPAGATORS",
    "Include `xray-lambda` to make X-Ray's segment the parent of the invocation span, and to obey its `Sampled=0`.",
);

// Lambda sets these (Lambda Developer Guide, "Defined runtime environment variables").

pub const AWS_REGION: Setting<String> =
    Setting::text("AWS_REGION", "Set by Lambda: `cloud.region`.");

pub const AWS_LAMBDA_FUNCTION_NAME: Setting<String> =
    Setting::text("AWS_LAMBDA_FUNCTION_NAME", "Set by Lambda: `faas.name`.");
