//! The table of the extension's variables.

use settings::{Setting, SettingWithDefault, Table, Variable, Word, shared};
use std::time::Duration;

pub const TABLE: Table = Table::new(&[OWN, LINES, SDK, DIRECT])
    .with_shared(&[backend::DESTINATION, settings::PROXY])
    .with_aliases(&[ALIASES, O2_FLUSH, backend::O2_DESTINATION, &super::file::ROWS])
    .with_unlisted(&[super::output::SECRETS, super::output::AWS, LAMBDA, &[CONFIG_FILE.row()]])
    .with_known_elsewhere(KNOWN_ELSEWHERE);

const OWN: &[Variable] = &[
    RECEIVER_PORT.row(),
    INVOCATION_SPAN.row(),
    shared::LAMBDA_OTLP_SPAN_MAPPING.row(),
    shared::LAMBDA_OTLP_SPAN_END.row(),
    shared::LAMBDA_OTLP_LOG_LEVEL.row(),
];

const LINES: &[Variable] = &[
    shared::LAMBDA_OTLP_LINE.row(),
    shared::LAMBDA_OTLP_MAX_LINE_BYTES.row(),
    shared::LAMBDA_OTLP_NAMES.row(),
];

const ALIASES: &[Variable] = &[
    shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL.row(),
    shared::O2_SPAN_MAPPING_STRATEGY.row(),
    TELEMETRY_TYPES.row(),
];

/// Variables that OpenTelemetry's SDK in the function reads too.
const SDK: &[Variable] = &[
    shared::OTEL_SERVICE_NAME.row(),
    shared::OTEL_PROPAGATORS.row(),
    SDK_DISABLED.row(),
    TRACES_SAMPLER.row(),
];

const DIRECT: &[Variable] =
    &[OUTPUT.row(), PROTOCOL.row(), OTEL_PROTOCOL.row(), FLUSH_TIMEOUT.row()];

/// The names of OpenObserve's extension for the send buffer.
const O2_FLUSH: &[Variable] = &[FLUSH_INTERVAL.row(), MAX_BUFFER.row(), MAX_RETRIES.row()];

/// The words of [`backend::Protocol`].
const PROTOCOLS: &[&str] = &["http/protobuf", "http/json", "grpc"];

pub(super) const LAMBDA: &[Variable] = &[
    TASK_ROOT.row(),
    RUNTIME_API.row(),
    shared::AWS_LAMBDA_FUNCTION_NAME.row(),
    FUNCTION_VERSION.row(),
    MEMORY_SIZE.row(),
    INITIALIZATION_TYPE.row(),
    LOG_FORMAT.row(),
    LAMBDA_LOG_LEVEL.row(),
];

/// What others read: the forwarder, since a set of variables may be made once for all functions, and the layer's wrapper.
const KNOWN_ELSEWHERE: &[&str] =
    &[shared::LAMBDA_OTLP_INFERRED_SPANS.name(), INSTRUMENT.name(), NEXT_WRAPPER.name()];

pub(super) const RECEIVER_PORT: Setting<usize> = Setting::count(
    "OTEL_LAMBDA_RECEIVER_PORT",
    "Port of 127.0.0.1 that receives OTLP. Default: the port of a loopback `OTEL_EXPORTER_OTLP_ENDPOINT`, otherwise 4318 and 4317.",
);

pub(super) const INVOCATION_SPAN: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_OTLP_INVOCATION_SPAN", &["auto", "always", "never"], "The extension's span for each invocation. `auto` makes it a child of the function's own root span, if there is one; `always` a root.").with_default("auto");

pub(super) const TELEMETRY_TYPES: Setting<String> = Setting::text(
    "O2_TELEMETRY_TYPES",
    "OpenObserve: events of the Telemetry API: `platform`, `function`, and `extension` (output of other extensions). Default: `platform`, in direct mode `platform,function`.",
);

pub(super) const SDK_DISABLED: SettingWithDefault<Word> = Setting::choice(
    "OTEL_SDK_DISABLED",
    &["true", "false"],
    "With `true`, the extension writes no spans either.",
)
.with_default("false");

pub(super) const TRACES_SAMPLER: Setting<String> = Setting::text(
    "OTEL_TRACES_SAMPLER",
    "With a sampler that drops traces, the extension writes only spans below the function's.",
);

/// `lambda-otlp dev` sets it, since no local Lambda has the folder that extensions know.
pub(super) const CONFIG_FILE: Setting<String> = Setting::text(
    "LAMBDA_OTLP_CONFIG_FILE",
    "Set by `lambda-otlp dev`: path of the settings file.",
);

pub(super) const OUTPUT: Setting<Word> = Setting::choice(
    backend::direct_mode::OUTPUT,
    &["stdout", "otlp", "json"],
    "`stdout`: OTLP lines. `otlp`: a backend. `json`: OpenObserve, in the format of its extension. Default: `otlp` with an endpoint on another host; `json` with `O2_ORGANIZATION_ID` and credentials; otherwise `stdout`.",
);

pub(super) const PROTOCOL: Setting<Word> = Setting::choice(
    "LAMBDA_OTLP_PROTOCOL",
    PROTOCOLS,
    "[Protocol](sending-directly.md#protocols) of direct mode. Set it if the backend does not accept `http/protobuf`.",
);

pub(super) const OTEL_PROTOCOL: Setting<Word> = Setting::choice(
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    PROTOCOLS,
    "Protocol for `OTEL_EXPORTER_OTLP_ENDPOINT`; unset, `grpc` for port 4317. For an endpoint on this host, only the function's SDK uses it.",
);

pub(super) const FLUSH_TIMEOUT: SettingWithDefault<Duration> =
    Setting::duration("OTEL_LAMBDA_FLUSH_TIMEOUT", "Time limit of each flush in direct mode, which also limits hold time. Increase it for a slow backend; decrease it if callers must not wait. With `0`, no flush begins after the handler, and a flush during the handler takes at most 1 s.").with_default("1s");

pub(super) const FLUSH_INTERVAL: SettingWithDefault<Duration> = Setting::duration(
    "O2_FLUSH_INTERVAL_MS",
    "OpenObserve: interval of flushes while a handler runs, and of frequent invocations.",
)
.with_default("5s");

pub(super) const MAX_BUFFER: Setting<usize> = Setting::count(
    "O2_MAX_BUFFER_SIZE_MB",
    "OpenObserve: size of the send buffer in MiB, up to 8 MiB. Default: 1/32 of the memory, from 1 to 8 MiB. Telemetry beyond it is written as OTLP lines.",
);

pub(super) const MAX_RETRIES: SettingWithDefault<usize> = Setting::count(
    "O2_MAX_RETRIES",
    "OpenObserve: retries of a request, over all invocations, before it is written as OTLP lines.",
)
.with_default("3");

pub(super) const RUNTIME_API: Setting<String> =
    Setting::text("AWS_LAMBDA_RUNTIME_API", "Set by Lambda: host and port of its APIs.");
pub(super) const FUNCTION_VERSION: Setting<String> =
    Setting::text("AWS_LAMBDA_FUNCTION_VERSION", "Set by Lambda: `faas.version`.");
pub(super) const MEMORY_SIZE: Setting<String> = Setting::text(
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "Set by Lambda: 1/32 of it is the default size of the send buffer.",
);
pub(super) const INITIALIZATION_TYPE: Setting<String> = Setting::text(
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "Set by Lambda: managed instances have no INVOKE event.",
);
pub(super) const LOG_FORMAT: Setting<String> = Setting::text(
    "AWS_LAMBDA_LOG_FORMAT",
    "Set by Lambda: under `JSON` each line has `timestamp` and `level`.",
);
pub(super) const LAMBDA_LOG_LEVEL: Setting<String> = Setting::text(
    "AWS_LAMBDA_LOG_LEVEL",
    "Set by Lambda: the `level` of lines, so that none is filtered out.",
);
pub(super) const TASK_ROOT: Setting<String> = Setting::text(
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

/// Variables in the documentation of OpenObserve's extension that this extension ignores.
pub(super) const O2_UNUSED: [&str; 3] =
    ["O2_BATCH_SIZE", "O2_INITIAL_RETRY_DELAY_MS", "O2_MAX_RETRY_DELAY_MS"];

const INSTRUMENT: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_OTLP_INSTRUMENT", &["auto", "off"], "Set `off` if Python and Node must not load instrumentations. `auto` loads them unless there is a second wrapper or the handler's module sets up an SDK.").with_default("auto");

const NEXT_WRAPPER: Setting<String> = Setting::text(
    "LAMBDA_OTLP_NEXT_WRAPPER",
    "Path of [another layer's wrapper](layer.md#beside-other-wrappers-and-extensions) to start too.",
);

/// The variables that only the wrapper reads.
pub const WRAPPER: Table = Table::new(&[&[
    shared::LAMBDA_OTLP_INFERRED_SPANS.row(),
    INSTRUMENT.row(),
    NEXT_WRAPPER.row(),
]]);
