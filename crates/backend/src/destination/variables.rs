//! The destination's rows in the table of variables.

use settings::{Kind, Variable, shared};

pub(super) const ENDPOINT: &str = "LAMBDA_OTLP_ENDPOINT";
pub(super) const HEADERS: &str = "LAMBDA_OTLP_HEADERS";
pub(super) const SECRET: &str = "LAMBDA_OTLP_SECRET";
pub(super) const CA_FILE: &str = "LAMBDA_OTLP_CA_FILE";
pub(super) const PROXY: &str = "LAMBDA_OTLP_PROXY";
pub(super) const STREAM: &str = "LAMBDA_OTLP_STREAM";
pub(super) const BACKEND: &str = shared::LAMBDA_OTLP_BACKEND.name;
pub(super) const MAX_REQUEST_BYTES: &str = "LAMBDA_OTLP_MAX_REQUEST_BYTES";
pub(super) const MAX_COLUMNS: &str = "LAMBDA_OTLP_MAX_COLUMNS";
pub(super) const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
pub(super) const OTEL_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
pub(super) const OTEL_METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
pub(super) const OTEL_LOGS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
pub(super) const OTEL_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
pub(super) const OTEL_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
pub(super) const OTEL_COMPRESSION: &str = "OTEL_EXPORTER_OTLP_COMPRESSION";
pub(super) const O2_ENDPOINT: &str = "O2_ENDPOINT";
pub(super) const O2_ORGANIZATION: &str = "O2_ORGANIZATION_ID";
pub(super) const O2_AUTHORIZATION: &str = "O2_AUTHORIZATION_HEADER";
pub(super) const O2_STREAM: &str = "O2_STREAM";
pub(super) const O2_TIMEOUT: &str = "O2_REQUEST_TIMEOUT_MS";

const fn row(
    name: &'static str,
    default: Option<&'static str>,
    kind: Kind,
    doc: &'static str,
) -> Variable {
    Variable { name, default, kind, doc }
}

/// The rows of a destination, for the table of each binary that sends.
pub const DESTINATION: &[Variable] = &[
    row(
        ENDPOINT,
        None,
        Kind::Url,
        "Base URL of the backend, with `/api/{organization}` for OpenObserve; `/v1/{signal}` is appended.",
    ),
    row(
        HEADERS,
        None,
        Kind::Headers,
        "Headers of every request, `authorization=Basic …` for OpenObserve. Values may be percent-encoded.",
    ),
    row(
        STREAM,
        None,
        Kind::Text,
        "OpenObserve's stream for traces and logs, sent as `stream-name`; without it they go to `default`. In the forwarder it may be made of where telemetry comes from: `{account}`, `{region}`, `{log_group}`, `{log_stream}`, `{function}`.",
    ),
    shared::LAMBDA_OTLP_BACKEND,
    row(
        MAX_REQUEST_BYTES,
        Some("4MiB"),
        Kind::Bytes,
        "Largest request before compression; larger ones are split.",
    ),
    row(
        MAX_COLUMNS,
        Some("1000"),
        Kind::Count,
        "Most distinct fields of one stream in one request that OpenObserve takes (`ZO_COLS_PER_RECORD_LIMIT`); requests are split to stay a tenth below. A lower limit that its answers name is learned.",
    ),
    row(
        CA_FILE,
        None,
        Kind::Text,
        "PEM file with certificates to trust in addition to the system's: of your own authority, or of servers with self-signed certificates. A relative path counts from the \
         function's code.",
    ),
    row(OTEL_ENDPOINT, None, Kind::Url, "Base URL, used where `LAMBDA_OTLP_ENDPOINT` is not set."),
    row(
        OTEL_TRACES_ENDPOINT,
        None,
        Kind::Url,
        "URL for traces, used as given, beside `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    ),
    row(
        OTEL_METRICS_ENDPOINT,
        None,
        Kind::Url,
        "URL for metrics, used as given, beside `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    ),
    row(
        OTEL_LOGS_ENDPOINT,
        None,
        Kind::Url,
        "URL for logs, used as given, beside `OTEL_EXPORTER_OTLP_ENDPOINT`.",
    ),
    row(
        OTEL_HEADERS,
        None,
        Kind::Headers,
        "Headers that go with `OTEL_EXPORTER_OTLP_ENDPOINT`, where `LAMBDA_OTLP_HEADERS` is not set.",
    ),
    row(OTEL_TIMEOUT, Some("10s"), Kind::Duration, "Longest time one request may take."),
    row(
        OTEL_COMPRESSION,
        Some("gzip"),
        Kind::Choice(&["gzip", "none"]),
        "How request bodies are compressed.",
    ),
    row(
        O2_ENDPOINT,
        Some("https://api.openobserve.ai"),
        Kind::Url,
        "OpenObserve's URL without organization, used with `O2_ORGANIZATION_ID` where no other endpoint is set.",
    ),
    row(
        O2_ORGANIZATION,
        None,
        Kind::Text,
        "OpenObserve's organization, together with `O2_AUTHORIZATION_HEADER`.",
    ),
    row(
        O2_AUTHORIZATION,
        None,
        Kind::Secret,
        "The authorization header for `O2_ENDPOINT`, `Basic …` or the base64 alone.",
    ),
    row(
        O2_STREAM,
        Some("default"),
        Kind::Text,
        "OpenObserve's stream, used with `O2_ORGANIZATION_ID`.",
    ),
    row(
        O2_TIMEOUT,
        None,
        Kind::Duration,
        "Longest time one request may take, where `OTEL_EXPORTER_OTLP_TIMEOUT` is not set.",
    ),
];

/// The destination's row for binaries that fetch secrets. Tables without it have no secret.
pub const SECRET_ROW: &[Variable] = &[row(
    SECRET,
    None,
    Kind::SecretReference,
    "ARN of a secret in Secrets Manager or of a parameter, or `ssm:NAME`, that holds the authorization header: `Basic …` or \
     `Bearer …`, the base64 alone, `email:password`, or JSON. Of JSON `authorization` is taken, else `username` and \
     `password`, or the key that follows the reference: `#key`, or `arn:…:secret:name-a1b2c3:key::`. It replaces the \
     authorization of the headers.",
)];

/// The destination's row for binaries that support proxies. The table also needs the rows of [`settings::PROXY`]. Tables without
/// it have no proxy.
pub const PROXY_ROW: &[Variable] = &[row(
    PROXY,
    None,
    Kind::Proxy,
    "Proxy for all requests to the backend, `http://user:password@host:port`; a backend on this host is reached directly.",
)];
