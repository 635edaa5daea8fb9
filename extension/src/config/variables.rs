//! The table of the extension's variables.

use settings::shared::{self, set_by_lambda};
use settings::{Kind, Table, Variable};

pub const TABLE: Table = Table::new(&[OWN, LINES, SDK, DIRECT])
    .with_shared(&[backend::DESTINATION, settings::PROXY])
    .with_aliases(&[ALIASES, O2_FLUSH, backend::O2_DESTINATION, &super::file::ROWS])
    .with_unlisted(&[super::output::SECRETS, super::output::AWS, LAMBDA])
    .with_known_elsewhere(KNOWN_ELSEWHERE);

const OWN: &[Variable] = &[
    Variable {
        name: RECEIVER_PORT,
        default: None,
        kind: Kind::Count,
        doc: "Port of 127.0.0.1 that receives OTLP. Default: the port of a loopback `OTEL_EXPORTER_OTLP_ENDPOINT`, otherwise 4318 and 4317.",
    },
    Variable {
        name: "LAMBDA_OTLP_INVOCATION_SPAN",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "always", "never"]),
        doc: "The extension's span for each invocation. `auto` makes it a child of the function's own root span, if there is one; `always` a root.",
    },
    shared::LAMBDA_OTLP_SPAN_MAPPING,
    shared::LAMBDA_OTLP_SPAN_END,
    shared::LAMBDA_OTLP_LOG_LEVEL,
];

const LINES: &[Variable] =
    &[shared::LAMBDA_OTLP_LINE, shared::LAMBDA_OTLP_MAX_LINE_BYTES, shared::LAMBDA_OTLP_NAMES];

const ALIASES: &[Variable] = &[
    shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL,
    shared::O2_SPAN_MAPPING_STRATEGY,
    Variable {
        name: "O2_TELEMETRY_TYPES",
        default: None,
        kind: Kind::Text,
        doc: "OpenObserve: events of the Telemetry API: `platform`, `function`, and `extension` (output of other extensions). Default: `platform`, in direct mode `platform,function`.",
    },
];

/// Variables that OpenTelemetry's SDK in the function reads too.
const SDK: &[Variable] = &[
    shared::OTEL_SERVICE_NAME,
    shared::OTEL_PROPAGATORS,
    Variable {
        name: "OTEL_SDK_DISABLED",
        default: Some("false"),
        kind: Kind::Choice(&["true", "false"]),
        doc: "With `true`, the extension writes no spans either.",
    },
    Variable {
        name: "OTEL_TRACES_SAMPLER",
        default: None,
        kind: Kind::Text,
        doc: "With a sampler that drops traces, the extension writes only spans below the function's.",
    },
];

pub(super) const OUTPUT: &str = "LAMBDA_OTLP_OUTPUT";
pub(super) const PROTOCOL: &str = "LAMBDA_OTLP_PROTOCOL";
pub(super) const OTEL_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
pub(super) const FLUSH_TIMEOUT: &str = "OTEL_LAMBDA_FLUSH_TIMEOUT";
pub(super) const FLUSH_INTERVAL: &str = "O2_FLUSH_INTERVAL_MS";
pub(super) const MAX_BUFFER: &str = "O2_MAX_BUFFER_SIZE_MB";
pub(super) const MAX_RETRIES: &str = "O2_MAX_RETRIES";

pub(super) const CONFIG_FILE: &str = "LAMBDA_OTLP_CONFIG_FILE";

const DIRECT: &[Variable] = &[
    Variable {
        name: CONFIG_FILE,
        default: None,
        kind: Kind::Text,
        doc: "Path of the [settings file](sending-directly.md#a-file-instead-of-variables). Default: `lambda-otlp.toml` or `otel-extension.toml` beside the function's code.",
    },
    Variable {
        name: OUTPUT,
        default: None,
        kind: Kind::Choice(&["stdout", "otlp", "json"]),
        doc: "`stdout`: OTLP lines. `otlp`: a backend. `json`: OpenObserve, in the format of its extension. Default: `otlp` with an endpoint on another host; `json` with `O2_ORGANIZATION_ID` and credentials; otherwise `stdout`.",
    },
    Variable {
        name: PROTOCOL,
        default: None,
        kind: Kind::Choice(PROTOCOLS),
        doc: "[Protocol](sending-directly.md#protocols) of direct mode. Set it if the backend does not accept `http/protobuf`.",
    },
    Variable {
        name: OTEL_PROTOCOL,
        default: None,
        kind: Kind::Choice(PROTOCOLS),
        doc: "Protocol for `OTEL_EXPORTER_OTLP_ENDPOINT`; unset, `grpc` for port 4317. For an endpoint on this host, only the function's SDK uses it.",
    },
    Variable {
        name: FLUSH_TIMEOUT,
        default: Some("1s"),
        kind: Kind::Duration,
        doc: "Time limit of each flush in direct mode, which also limits hold time. Increase it for a slow backend; decrease it if callers must not wait. With `0`, no flush begins after the handler, and a flush during the handler takes at most 1 s.",
    },
];

/// The names of OpenObserve's extension for the send buffer.
const O2_FLUSH: &[Variable] = &[
    Variable {
        name: FLUSH_INTERVAL,
        default: Some("5s"),
        kind: Kind::Duration,
        doc: "OpenObserve: interval of flushes while a handler runs, and of frequent invocations.",
    },
    Variable {
        name: MAX_BUFFER,
        default: None,
        kind: Kind::Count,
        doc: "OpenObserve: size of the send buffer in MiB, up to an eighth of the memory. Default: a sixteenth, from 2 to 16. Telemetry beyond it is written as OTLP lines.",
    },
    Variable {
        name: MAX_RETRIES,
        default: Some("3"),
        kind: Kind::Count,
        doc: "OpenObserve: retries of a request, over all invocations, before it is written as OTLP lines.",
    },
];

/// The words of [`backend::Protocol`].
const PROTOCOLS: &[&str] = &["http/protobuf", "http/json", "grpc"];

pub(super) const LAMBDA: &[Variable] = &[
    set_by_lambda(
        "LAMBDA_TASK_ROOT",
        "The folder of the function's code. Lambda hides this variable from extensions; the default is `/var/task`.",
    ),
    set_by_lambda("AWS_LAMBDA_RUNTIME_API", "Set by Lambda: host and port of its APIs."),
    shared::AWS_LAMBDA_FUNCTION_NAME,
    set_by_lambda("AWS_LAMBDA_FUNCTION_VERSION", "Set by Lambda: `faas.version`."),
    set_by_lambda(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "Set by Lambda: an eighth of it limits the telemetry in memory.",
    ),
    set_by_lambda(
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "Set by Lambda: managed instances have no INVOKE event.",
    ),
    set_by_lambda(
        "AWS_LAMBDA_LOG_FORMAT",
        "Set by Lambda: under `JSON` each line has `timestamp` and `level`.",
    ),
    set_by_lambda(
        "AWS_LAMBDA_LOG_LEVEL",
        "Set by Lambda: the `level` of lines, so that none is filtered out.",
    ),
];

/// What others read: the forwarder, since a set of variables may be made once for all functions, and the layer's wrapper.
const KNOWN_ELSEWHERE: &[&str] = &[INFERRED_SPANS, INSTRUMENT, NEXT_WRAPPER];

const INFERRED_SPANS: &str = "LAMBDA_OTLP_INFERRED_SPANS";
const INSTRUMENT: &str = "LAMBDA_OTLP_INSTRUMENT";
const NEXT_WRAPPER: &str = "LAMBDA_OTLP_NEXT_WRAPPER";

pub(super) const RECEIVER_PORT: &str = "OTEL_LAMBDA_RECEIVER_PORT";
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

/// The variables that only the wrapper reads.
pub const WRAPPER: Table = Table::new(&[&[
    shared::LAMBDA_OTLP_INFERRED_SPANS,
    Variable {
        name: "LAMBDA_OTLP_INSTRUMENT",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "off"]),
        doc: "Set `off` if Python and Node must not load instrumentations. `auto` loads them unless there is a second wrapper or the handler's module sets up an SDK.",
    },
    Variable {
        name: "LAMBDA_OTLP_NEXT_WRAPPER",
        default: None,
        kind: Kind::Text,
        doc: "Path of [another layer's wrapper](layer.md#beside-other-wrappers-and-extensions) to start too.",
    },
]]);
