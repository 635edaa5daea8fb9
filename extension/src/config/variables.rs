//! The table of the extension's variables.

use settings::shared::{self, set_by_lambda};
use settings::{Kind, Table, Variable};

/// All variables of the extension.
pub const TABLE: Table =
    Table::new(&[OWN, TELEMETRY, LINES, SHARED, LAMBDA]).with_known_elsewhere(KNOWN_ELSEWHERE);

const OWN: &[Variable] = &[
    Variable {
        name: "OTEL_LAMBDA_RECEIVER_PORT",
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
        default: Some("platform"),
        kind: Kind::Text,
        doc: "What is asked of the Telemetry API: `platform`, `function`, `extension`, separated by commas. With \
              stdout, CloudWatch has the logs of the last two already, and they are only counted.",
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
    shared::LAMBDA_OTLP_BACKEND
        .with_doc("For which backend the metrics that the extension makes are shaped."),
];

/// What OpenTelemetry's SDK in the function reads too.
const SHARED: &[Variable] = &[
    shared::OTEL_SERVICE_NAME,
    shared::OTEL_PROPAGATORS,
    Variable {
        name: "OTEL_EXPORTER_OTLP_ENDPOINT",
        default: None,
        kind: Kind::Text,
        doc: "Where the function's SDK sends OTLP: if it is loopback, the receiver listens there.",
    },
];

/// Set by Lambda itself.
const LAMBDA: &[Variable] = &[
    set_by_lambda("AWS_LAMBDA_RUNTIME_API", "Set by Lambda: host and port of its APIs."),
    shared::AWS_LAMBDA_FUNCTION_NAME,
    set_by_lambda("AWS_LAMBDA_FUNCTION_VERSION", "Set by Lambda: `faas.version`."),
    set_by_lambda(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "Set by Lambda: an eighth of it bounds what waits in memory.",
    ),
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
const KNOWN_ELSEWHERE: &[&str] = &[
    "LAMBDA_OTLP_ENDPOINT",
    "LAMBDA_OTLP_HEADERS",
    "LAMBDA_OTLP_SECRET",
    "LAMBDA_OTLP_STREAM",
    "LAMBDA_OTLP_INSTRUMENT",
    "LAMBDA_OTLP_NEXT_WRAPPER",
];

/// Variables that make other extensions send telemetry by themselves, of OpenObserve's extension and of OpenTelemetry's. Whoever
/// moves from one of them is told that this one does not.
pub(super) const SENT_BY_OTHERS: [&[&str]; 2] =
    [&["O2_ORGANIZATION_ID", "O2_AUTHORIZATION_HEADER"], &["LAMBDA_OTLP_ENDPOINT"]];
