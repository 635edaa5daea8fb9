//! The table of the extension's variables.

use settings::shared::{self, set_by_lambda};
use settings::{Kind, Table, Variable};

pub const TABLE: Table = Table::new(&[OWN, LINES, SDK, DIRECT])
    .with_shared(&[backend::DESTINATION, settings::PROXY])
    .with_aliases(&[ALIASES, O2_FLUSH, backend::O2_DESTINATION, &super::file::ROWS])
    .with_unlisted(&[super::output::SECRETS, super::output::AWS, LAMBDA, &[CONFIG_FILE]])
    .with_known_elsewhere(KNOWN_ELSEWHERE);

const OWN: &[Variable] = &[
    RECEIVER_PORT,
    INVOCATION_SPAN,
    shared::LAMBDA_OTLP_SPAN_MAPPING,
    shared::LAMBDA_OTLP_SPAN_END,
    shared::LAMBDA_OTLP_LOG_LEVEL,
];

const LINES: &[Variable] =
    &[shared::LAMBDA_OTLP_LINE, shared::LAMBDA_OTLP_MAX_LINE_BYTES, shared::LAMBDA_OTLP_NAMES];

const ALIASES: &[Variable] = &[
    shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL,
    shared::O2_SPAN_MAPPING_STRATEGY,
    TELEMETRY_TYPES,
];

/// Variables that OpenTelemetry's SDK in the function reads too.
const SDK: &[Variable] =
    &[shared::OTEL_SERVICE_NAME, shared::OTEL_PROPAGATORS, SDK_DISABLED, TRACES_SAMPLER];

const DIRECT: &[Variable] = &[OUTPUT, PROTOCOL, OTEL_PROTOCOL, FLUSH_TIMEOUT];

/// The names of OpenObserve's extension for the send buffer.
const O2_FLUSH: &[Variable] = &[FLUSH_INTERVAL, MAX_BUFFER, MAX_RETRIES];

/// The words of [`backend::Protocol`].
const PROTOCOLS: &[&str] = &["http/protobuf", "http/json", "grpc"];

pub(super) const LAMBDA: &[Variable] = &[
    TASK_ROOT,
    RUNTIME_API,
    shared::AWS_LAMBDA_FUNCTION_NAME,
    FUNCTION_VERSION,
    MEMORY_SIZE,
    INITIALIZATION_TYPE,
    LOG_FORMAT,
    LAMBDA_LOG_LEVEL,
];

/// What others read: the forwarder, since a set of variables may be made once for all functions, and the layer's wrapper.
const KNOWN_ELSEWHERE: &[&str] =
    &[shared::LAMBDA_OTLP_INFERRED_SPANS.name, INSTRUMENT.name, NEXT_WRAPPER.name];

pub(super) const RECEIVER_PORT: Variable = Variable {
    name: "OTEL_LAMBDA_RECEIVER_PORT",
    default: None,
    kind: Kind::Count,
    doc: "Port of 127.0.0.1 that receives OTLP. Default: the port of a loopback `OTEL_EXPORTER_OTLP_ENDPOINT`, otherwise 4318 and 4317.",
};

pub(super) const INVOCATION_SPAN: Variable = Variable {
    name: "LAMBDA_OTLP_INVOCATION_SPAN",
    default: Some("auto"),
    kind: Kind::Choice(&["auto", "always", "never"]),
    doc: "The extension's span for each invocation. `auto` makes it a child of the function's own root span, if there is one; `always` a root.",
};

pub(super) const TELEMETRY_TYPES: Variable = Variable {
    name: "O2_TELEMETRY_TYPES",
    default: None,
    kind: Kind::Text,
    doc: "OpenObserve: events of the Telemetry API: `platform`, `function`, and `extension` (output of other extensions). Default: `platform`, in direct mode `platform,function`.",
};

pub(super) const SDK_DISABLED: Variable = Variable {
    name: "OTEL_SDK_DISABLED",
    default: Some("false"),
    kind: Kind::Choice(&["true", "false"]),
    doc: "With `true`, the extension writes no spans either.",
};

pub(super) const TRACES_SAMPLER: Variable = Variable {
    name: "OTEL_TRACES_SAMPLER",
    default: None,
    kind: Kind::Text,
    doc: "With a sampler that drops traces, the extension writes only spans below the function's.",
};

/// `lambda-otlp dev` sets it, since no local Lambda has the folder that extensions know.
pub(super) const CONFIG_FILE: Variable = Variable {
    name: "LAMBDA_OTLP_CONFIG_FILE",
    default: None,
    kind: Kind::Text,
    doc: "Set by `lambda-otlp dev`: path of the settings file.",
};

pub(super) const OUTPUT: Variable = Variable {
    name: "LAMBDA_OTLP_OUTPUT",
    default: None,
    kind: Kind::Choice(&["stdout", "otlp", "json"]),
    doc: "`stdout`: OTLP lines. `otlp`: a backend. `json`: OpenObserve, in the format of its extension. Default: `otlp` with an endpoint on another host; `json` with `O2_ORGANIZATION_ID` and credentials; otherwise `stdout`.",
};

pub(super) const PROTOCOL: Variable = Variable {
    name: "LAMBDA_OTLP_PROTOCOL",
    default: None,
    kind: Kind::Choice(PROTOCOLS),
    doc: "[Protocol](sending-directly.md#protocols) of direct mode. Set it if the backend does not accept `http/protobuf`.",
};

pub(super) const OTEL_PROTOCOL: Variable = Variable {
    name: "OTEL_EXPORTER_OTLP_PROTOCOL",
    default: None,
    kind: Kind::Choice(PROTOCOLS),
    doc: "Protocol for `OTEL_EXPORTER_OTLP_ENDPOINT`; unset, `grpc` for port 4317. For an endpoint on this host, only the function's SDK uses it.",
};

pub(super) const FLUSH_TIMEOUT: Variable = Variable {
    name: "OTEL_LAMBDA_FLUSH_TIMEOUT",
    default: Some("1s"),
    kind: Kind::Duration,
    doc: "Time limit of each flush in direct mode, which also limits hold time. Increase it for a slow backend; decrease it if callers must not wait. With `0`, no flush begins after the handler, and a flush during the handler takes at most 1 s.",
};

pub(super) const FLUSH_INTERVAL: Variable = Variable {
    name: "O2_FLUSH_INTERVAL_MS",
    default: Some("5s"),
    kind: Kind::Duration,
    doc: "OpenObserve: interval of flushes while a handler runs, and of frequent invocations.",
};

pub(super) const MAX_BUFFER: Variable = Variable {
    name: "O2_MAX_BUFFER_SIZE_MB",
    default: None,
    kind: Kind::Count,
    doc: "OpenObserve: size of the send buffer in MiB, up to 8 MiB. Default: 1/32 of the memory, from 1 to 8 MiB. Telemetry beyond it is written as OTLP lines.",
};

pub(super) const MAX_RETRIES: Variable = Variable {
    name: "O2_MAX_RETRIES",
    default: Some("3"),
    kind: Kind::Count,
    doc: "OpenObserve: retries of a request, over all invocations, before it is written as OTLP lines.",
};

pub(super) const RUNTIME_API: Variable =
    set_by_lambda("AWS_LAMBDA_RUNTIME_API", "Set by Lambda: host and port of its APIs.");
pub(super) const FUNCTION_VERSION: Variable =
    set_by_lambda("AWS_LAMBDA_FUNCTION_VERSION", "Set by Lambda: `faas.version`.");
pub(super) const MEMORY_SIZE: Variable = set_by_lambda(
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "Set by Lambda: an eighth of it limits the telemetry in memory.",
);
pub(super) const INITIALIZATION_TYPE: Variable = set_by_lambda(
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "Set by Lambda: managed instances have no INVOKE event.",
);
pub(super) const LOG_FORMAT: Variable = set_by_lambda(
    "AWS_LAMBDA_LOG_FORMAT",
    "Set by Lambda: under `JSON` each line has `timestamp` and `level`.",
);
pub(super) const LAMBDA_LOG_LEVEL: Variable = set_by_lambda(
    "AWS_LAMBDA_LOG_LEVEL",
    "Set by Lambda: the `level` of lines, so that none is filtered out.",
);
pub(super) const TASK_ROOT: Variable = set_by_lambda(
    "LAMBDA_TASK_ROOT",
    "The folder of the function's code. Lambda hides this variable from extensions; the default is `/var/task`.",
);
pub(super) const ENDPOINT: &str = "LAMBDA_OTLP_ENDPOINT";
pub(super) const HEADERS: &str = "LAMBDA_OTLP_HEADERS";
pub(super) const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
pub(super) const OTEL_SIGNAL_ENDPOINTS: [&str; 3] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
];
pub(super) const O2_ENDPOINT: &str = "O2_ENDPOINT";
pub(super) const O2_ORGANIZATION: &str = "O2_ORGANIZATION_ID";
pub(super) const O2_AUTHORIZATION: &str = "O2_AUTHORIZATION_HEADER";
pub(super) const SECRET: &str = "LAMBDA_OTLP_SECRET";
pub(super) const HTTP_PROXY: &str = "HTTP_PROXY";
pub(super) const HTTPS_PROXY: &str = "HTTPS_PROXY";

/// What OpenObserve's extension reads, or says that it reads, and nobody here does.
pub(super) const O2_UNUSED: [&str; 3] =
    ["O2_BATCH_SIZE", "O2_INITIAL_RETRY_DELAY_MS", "O2_MAX_RETRY_DELAY_MS"];

const INSTRUMENT: Variable = Variable {
    name: "LAMBDA_OTLP_INSTRUMENT",
    default: Some("auto"),
    kind: Kind::Choice(&["auto", "off"]),
    doc: "Set `off` if Python and Node must not load instrumentations. `auto` loads them unless there is a second wrapper or the handler's module sets up an SDK.",
};

const NEXT_WRAPPER: Variable = Variable {
    name: "LAMBDA_OTLP_NEXT_WRAPPER",
    default: None,
    kind: Kind::Text,
    doc: "Path of [another layer's wrapper](layer.md#beside-other-wrappers-and-extensions) to start too.",
};

/// The variables that only the wrapper reads.
pub const WRAPPER: Table =
    Table::new(&[&[shared::LAMBDA_OTLP_INFERRED_SPANS, INSTRUMENT, NEXT_WRAPPER]]);
