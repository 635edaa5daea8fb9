//! Variables that several binaries read. [`Variable::with_doc`] replaces a meaning that differs in one of them.

use crate::table::{Kind, Variable};

pub const LAMBDA_OTLP_BACKEND: Variable = Variable {
    name: "LAMBDA_OTLP_BACKEND",
    default: Some("openobserve"),
    kind: Kind::Choice(&["openobserve", "otlp"]),
    doc: "Set `otlp` for any backend other than OpenObserve.",
};

pub const LAMBDA_OTLP_LOG_LEVEL: Variable = Variable {
    name: "LAMBDA_OTLP_LOG_LEVEL",
    default: Some("warn"),
    kind: Kind::Choice(&["error", "warn", "info", "debug"]),
    doc: "Level of this program's own log. `error` reports only losses and problems that a person must solve. Set `debug` to investigate.",
};

pub const LAMBDA_OTLP_LINE: Variable = Variable {
    name: "LAMBDA_OTLP_LINE",
    default: Some("standard"),
    kind: Kind::Choice(&["standard", "compact"]),
    doc: "Format of OTLP lines. Set `compact` to write a fifth to a half of the bytes, once every reader of the log group reads compact lines.",
};

pub const LAMBDA_OTLP_MAX_LINE_BYTES: Variable = Variable {
    name: "LAMBDA_OTLP_MAX_LINE_BYTES",
    default: Some("60KiB"),
    kind: Kind::Bytes,
    doc: "Maximum length of an OTLP line, 1 to 250 KiB. Increase it only if your log pipeline keeps longer lines whole.",
};

pub const LAMBDA_OTLP_INFERRED_SPANS: Variable = Variable {
    name: "LAMBDA_OTLP_INFERRED_SPANS",
    default: Some("false"),
    kind: Kind::Switch,
    doc: "Set `true` to see how long requests and messages [waited](signals.md#waiting-time) at API Gateway, SQS or EventBridge: one more span for each invocation.",
};

/// Names of metrics and attributes that are made of Lambda's own events.
pub const LAMBDA_OTLP_NAMES: Variable = Variable {
    name: "LAMBDA_OTLP_NAMES",
    default: Some("current"),
    kind: Kind::Choice(&["current", "legacy"]),
    doc: "Set `legacy` to also write the [names of older systems](signals.md#the-older-names), while your dashboards use them.",
};

pub const LAMBDA_OTLP_SPAN_END: Variable = Variable {
    name: "LAMBDA_OTLP_SPAN_END",
    default: Some("runtime_done"),
    kind: Kind::Choice(&["runtime_done", "report"]),
    doc: "Set `report` to have billed duration and memory on the invocation span, which then arrives with the next invocation.",
};

/// How the phases of an invocation are written.
pub const LAMBDA_OTLP_SPAN_MAPPING: Variable = Variable {
    name: "LAMBDA_OTLP_SPAN_MAPPING",
    default: Some("span_events"),
    kind: Kind::Choice(&["span_events", "child_spans"]),
    doc: "Set `child_spans` to see the phases of an invocation as spans instead of span events.",
};

/// The older name of [`LAMBDA_OTLP_SPAN_MAPPING`].
pub const O2_SPAN_MAPPING_STRATEGY: Variable = Variable {
    name: "O2_SPAN_MAPPING_STRATEGY",
    default: None,
    kind: LAMBDA_OTLP_SPAN_MAPPING.kind,
    doc: "OpenObserve: `LAMBDA_OTLP_SPAN_MAPPING`.",
};

pub const OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL: Variable = Variable {
    name: "OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL",
    default: Some("6"),
    kind: Kind::Count,
    doc: "otlp-stdout-span-exporter: gzip level of OTLP lines, 0 to 9.",
};

pub const OTEL_SERVICE_NAME: Variable = Variable {
    name: "OTEL_SERVICE_NAME",
    default: None,
    kind: Kind::Text,
    doc: "The `service.name`, for several functions that form one service. Default: the function's name.",
};

/// Which headers carry a parent.
pub const OTEL_PROPAGATORS: Variable = Variable {
    name: "OTEL_PROPAGATORS",
    default: None,
    kind: Kind::Text,
    doc: "Include `xray-lambda` to make X-Ray's segment the parent of the invocation span, and to obey its `Sampled=0`.",
};

pub const AWS_REGION: Variable = set_by_lambda("AWS_REGION", "Set by Lambda: `cloud.region`.");

pub const AWS_LAMBDA_FUNCTION_NAME: Variable =
    set_by_lambda("AWS_LAMBDA_FUNCTION_NAME", "Set by Lambda: `faas.name`.");

/// A variable that Lambda sets itself (Lambda Developer Guide, "Defined runtime environment variables").
pub const fn set_by_lambda(name: &'static str, doc: &'static str) -> Variable {
    Variable { name, default: None, kind: Kind::Text, doc }
}
