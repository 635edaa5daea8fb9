//! The table of the extension's variables.

use settings::shared::{self, set_by_lambda};
use settings::{Kind, Table, Variable};

/// All variables of the extension.
#[cfg(feature = "direct")]
pub const TABLE: Table = Table::new(&[
    OWN,
    TELEMETRY,
    LINES,
    SHARED,
    DIRECT,
    backend::DESTINATION,
    backend::PROXY_ROW,
    settings::PROXY,
    super::secrets::SECRET_ROW,
    super::secrets::SECRETS,
    super::secrets::AWS,
    &super::keys::ROWS,
    LAMBDA,
])
.with_known_elsewhere(KNOWN_ELSEWHERE);
#[cfg(not(feature = "direct"))]
pub const TABLE: Table = Table::new(&[OWN, TELEMETRY, LINES, SHARED, NOT_DIRECT, LAMBDA])
    .with_known_elsewhere(KNOWN_ELSEWHERE);

const OWN: &[Variable] = &[
    Variable {
        name: RECEIVER_PORT,
        default: None,
        kind: Kind::Count,
        doc: "Port of 127.0.0.1 where OTLP is received; else the port of a loopback `OTEL_EXPORTER_OTLP_ENDPOINT`, \
              else 4318, and beside that 4317, as SDKs that speak gRPC have it.",
    },
    Variable {
        name: "LAMBDA_OTLP_HOLD",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "always", "never"]),
        doc: "Whether the environment stays awake after the handler until Lambda's report of it has come (25 to 30 \
              ms): `auto` only where invocations are rare and sent no OTLP, or the last one failed.",
    },
    Variable {
        name: "LAMBDA_OTLP_INVOCATION_SPAN",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "always", "never"]),
        doc: "Whether the extension writes a span for each invocation: `auto` only where the function has no root \
              span of its own.",
    },
    shared::LAMBDA_OTLP_SPAN_MAPPING,
    shared::O2_SPAN_MAPPING_STRATEGY,
    shared::LAMBDA_OTLP_SPAN_END.with_doc("What ends the invocation span. `report` has billed duration and memory on it, and comes with the next invocation."),
    shared::LAMBDA_OTLP_LOG_LEVEL,
];

const TELEMETRY: &[Variable] = &[
    Variable {
        name: "O2_TELEMETRY_TYPES",
        default: None,
        kind: Kind::Text,
        doc: "What is asked of the Telemetry API: `platform`, `function`, `extension`, separated by commas. Unset it is `platform`, \
              and where telemetry is sent directly `platform,function`. What function and extensions print becomes log \
              records where these are sent directly; to stdout it is not written again.",
    },
    Variable {
        name: "LAMBDA_OTLP_TELEMETRY_MAX_ITEMS",
        default: Some("1000"),
        kind: Kind::Count,
        doc: "Events in one delivery of the Telemetry API, 1,000 to 10,000.",
    },
    Variable {
        name: "LAMBDA_OTLP_TELEMETRY_MAX_BYTES",
        default: Some("262144"),
        kind: Kind::Bytes,
        doc: "Bytes in one delivery of the Telemetry API, 262,144 to 1,048,576.",
    },
    Variable {
        name: "LAMBDA_OTLP_TELEMETRY_TIMEOUT_MS",
        default: Some("25"),
        kind: Kind::Duration,
        doc: "How long the Telemetry API collects events before it delivers them, 25 ms to 30 s.",
    },
];

const LINES: &[Variable] = &[
    shared::LAMBDA_OTLP_MAX_LINE_BYTES,
    shared::OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL,
    shared::LAMBDA_OTLP_NAMES,
];

/// What OpenTelemetry's SDK in the function reads too.
const SHARED: &[Variable] = &[shared::OTEL_SERVICE_NAME, shared::OTEL_PROPAGATORS];

/// What the minimal extension reads of the destination's variables.
#[cfg(not(feature = "direct"))]
const NOT_DIRECT: &[Variable] = &[
    shared::LAMBDA_OTLP_BACKEND
        .with_doc("For which backend the metrics that the extension makes are shaped."),
    Variable {
        name: "OTEL_EXPORTER_OTLP_ENDPOINT",
        default: None,
        kind: Kind::Text,
        doc: "Where the function's SDK sends OTLP: if it is loopback, the receiver listens there.",
    },
];

#[cfg(feature = "direct")]
pub(super) const OUTPUT: &str = "LAMBDA_OTLP_OUTPUT";
#[cfg(feature = "direct")]
pub(super) const PROTOCOL: &str = "LAMBDA_OTLP_PROTOCOL";
#[cfg(feature = "direct")]
pub(super) const OTEL_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
#[cfg(feature = "direct")]
pub(super) const FLUSH_TIMEOUT: &str = "OTEL_LAMBDA_FLUSH_TIMEOUT";
#[cfg(feature = "direct")]
pub(super) const FLUSH_INTERVAL: &str = "O2_FLUSH_INTERVAL_MS";
#[cfg(feature = "direct")]
pub(super) const MAX_BUFFER: &str = "O2_MAX_BUFFER_SIZE_MB";
#[cfg(feature = "direct")]
pub(super) const MAX_RETRIES: &str = "O2_MAX_RETRIES";

#[cfg(feature = "direct")]
pub(super) const CONFIG_FILE: &str = "LAMBDA_OTLP_CONFIG_FILE";

/// Whether telemetry is sent, and when.
#[cfg(feature = "direct")]
const DIRECT: &[Variable] = &[
    Variable {
        name: CONFIG_FILE,
        default: None,
        kind: Kind::Text,
        doc: "File of settings; a relative path counts from the function's code. Unset it is `lambda-otlp.toml` beside the code, or \
              `otel-extension.toml`.",
    },
    Variable {
        name: OUTPUT,
        default: None,
        kind: Kind::Choice(&["stdout", "otlp", "json"]),
        doc: "Where telemetry goes: to `stdout` as lines, by `otlp` straight to a backend, or by `json` as OpenObserve's \
              extension sent it. Unset it is `otlp` where `LAMBDA_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` leads to \
              another host than this one, else `json` where both `O2_ORGANIZATION_ID` and `O2_AUTHORIZATION_HEADER`, or \
              `LAMBDA_OTLP_SECRET` in its place, are set.",
    },
    Variable {
        name: PROTOCOL,
        default: None,
        kind: Kind::Choice(PROTOCOLS),
        doc: "How OTLP is sent. Unset it is `OTEL_EXPORTER_OTLP_PROTOCOL` where the endpoint is `OTEL_EXPORTER_OTLP_ENDPOINT`, else \
              `http/protobuf`.",
    },
    Variable {
        name: OTEL_PROTOCOL,
        default: None,
        kind: Kind::Choice(PROTOCOLS),
        doc: "How OTLP is sent to `OTEL_EXPORTER_OTLP_ENDPOINT`, unset `grpc` at port 4317. Where that is this environment, or another \
              variable names the endpoint, it is for the function's SDK alone.",
    },
    Variable {
        name: FLUSH_TIMEOUT,
        default: Some("1s"),
        kind: Kind::Duration,
        doc: "Maximum hold time of an invocation while its telemetry is sent. `0` disables the hold, as with \
              `LAMBDA_OTLP_HOLD=never`.",
    },
    Variable {
        name: FLUSH_INTERVAL,
        default: Some("5s"),
        kind: Kind::Duration,
        doc: "How long telemetry waits while a handler runs, and how often one of frequent invocations sends what has gathered.",
    },
    Variable {
        name: MAX_BUFFER,
        default: None,
        kind: Kind::Count,
        doc: "How many MiB may wait to be sent, an eighth of the function's memory at most; unset a sixteenth of it, from 2 to 16. \
              What has no room is written as lines.",
    },
    Variable {
        name: MAX_RETRIES,
        default: Some("3"),
        kind: Kind::Count,
        doc: "How often a request is sent again, over all invocations, before it is written as lines.",
    },
];

/// The words of [`backend::Protocol`].
#[cfg(all(feature = "direct", feature = "grpc"))]
const PROTOCOLS: &[&str] = &["http/protobuf", "http/json", "grpc"];
#[cfg(all(feature = "direct", not(feature = "grpc")))]
const PROTOCOLS: &[&str] = &["http/protobuf", "http/json"];

/// Set by Lambda itself.
const LAMBDA: &[Variable] = &[
    #[cfg(feature = "direct")]
    set_by_lambda(
        "LAMBDA_TASK_ROOT",
        "Where the function's code is. Lambda hides it from extensions, whose default is `/var/task`.",
    ),
    set_by_lambda("AWS_LAMBDA_RUNTIME_API", "Set by Lambda: host and port of its APIs."),
    shared::AWS_LAMBDA_FUNCTION_NAME,
    set_by_lambda("AWS_LAMBDA_FUNCTION_VERSION", "Set by Lambda: `faas.version`."),
    set_by_lambda(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "Set by Lambda: an eighth of it bounds what waits in memory.",
    ),
    #[cfg(not(feature = "direct"))]
    shared::AWS_REGION,
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
#[cfg(feature = "direct")]
const KNOWN_ELSEWHERE: &[&str] = &[SECRET, "LAMBDA_OTLP_SECRET_TTL", INSTRUMENT, NEXT_WRAPPER];
#[cfg(not(feature = "direct"))]
const KNOWN_ELSEWHERE: &[&str] = &[
    ENDPOINT,
    "LAMBDA_OTLP_HEADERS",
    SECRET,
    "LAMBDA_OTLP_SECRET_TTL",
    "LAMBDA_OTLP_STREAM",
    PROXY,
    "LAMBDA_OTLP_CONFIG_FILE",
    INSTRUMENT,
    NEXT_WRAPPER,
];

const INSTRUMENT: &str = "LAMBDA_OTLP_INSTRUMENT";
const NEXT_WRAPPER: &str = "LAMBDA_OTLP_NEXT_WRAPPER";

pub(super) const RECEIVER_PORT: &str = "OTEL_LAMBDA_RECEIVER_PORT";
pub(super) const ENDPOINT: &str = "LAMBDA_OTLP_ENDPOINT";
pub(super) const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
#[cfg(feature = "direct")]
pub(super) const O2_ENDPOINT: &str = "O2_ENDPOINT";
pub(super) const O2_ORGANIZATION: &str = "O2_ORGANIZATION_ID";
pub(super) const O2_AUTHORIZATION: &str = "O2_AUTHORIZATION_HEADER";
pub(super) const SECRET: &str = "LAMBDA_OTLP_SECRET";
pub(super) const PROXY: &str = "LAMBDA_OTLP_PROXY";
#[cfg(feature = "direct")]
pub(super) const HTTP_PROXY: &str = "HTTP_PROXY";
#[cfg(feature = "direct")]
pub(super) const HTTPS_PROXY: &str = "HTTPS_PROXY";

/// What the forwarder reads for its destination and the extension does not, and what to do instead.
#[cfg(feature = "direct")]
pub(super) const NOT_READ: &[(&str, &str)] = &[
    #[cfg(not(feature = "secrets"))]
    (SECRET, "set LAMBDA_OTLP_HEADERS, or let the forwarder send"),
];

/// What OpenObserve's extension reads, or says that it reads, and nobody here does.
#[cfg(feature = "direct")]
pub(super) const O2_UNUSED: [&str; 3] =
    ["O2_BATCH_SIZE", "O2_INITIAL_RETRY_DELAY_MS", "O2_MAX_RETRY_DELAY_MS"];

/// Variables that make other extensions send telemetry by themselves, of OpenObserve's extension, OpenTelemetry's and djv3's. Whoever
/// moves from one of them is told that the minimal extension does not.
#[cfg(not(feature = "direct"))]
pub(super) const SENT_BY_OTHERS: [&[&str]; 3] =
    [&[O2_ORGANIZATION, O2_AUTHORIZATION], &[ENDPOINT], &["LAMBDA_OTEL_EXPORTER_ENDPOINT"]];
