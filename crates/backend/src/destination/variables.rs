//! The destination's rows in the table of variables.

use settings::{Kind, Variable, shared};

pub(super) const ENDPOINT: &str = "LAMBDA_OTLP_ENDPOINT";
pub(super) const HEADERS: &str = "LAMBDA_OTLP_HEADERS";
pub(super) const SECRET: &str = "LAMBDA_OTLP_SECRET";
pub(super) const CA_FILE: &str = "LAMBDA_OTLP_CA_FILE";
pub(super) const PROXY: &str = "LAMBDA_OTLP_PROXY";
pub(super) const STREAM: &str = "LAMBDA_OTLP_STREAM";
pub(super) const BACKEND: &str = shared::LAMBDA_OTLP_BACKEND.name;
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

/// The rows of a destination, for the table of each binary that sends, which also needs those of [`aws::AWS`], [`aws::SECRETS`]
/// and [`settings::PROXY`].
pub const DESTINATION: &[Variable] = &[
    row(
        ENDPOINT,
        None,
        Kind::Url,
        "Base URL of the backend; for OpenObserve it ends in `/api/{organization}`.",
    ),
    row(
        HEADERS,
        None,
        Kind::Headers,
        "Headers of every request, such as `authorization=Basic …`. Prefer `LAMBDA_OTLP_SECRET` for credentials.",
    ),
    row(
        STREAM,
        None,
        Kind::Text,
        "OpenObserve's stream for traces and logs, `default` if unset. Set it to keep applications apart. The forwarder replaces `{account}`, `{region}`, `{log_group}`, `{log_stream}` and `{function}`.",
    ),
    shared::LAMBDA_OTLP_BACKEND,
    row(
        CA_FILE,
        None,
        Kind::Text,
        "PEM file with certificates to trust, if the backend's is self-signed or from your own authority. A relative path starts at the function's code.",
    ),
    row(
        OTEL_ENDPOINT,
        None,
        Kind::Url,
        "OpenTelemetry's name for `LAMBDA_OTLP_ENDPOINT`, which wins.",
    ),
    row(OTEL_TRACES_ENDPOINT, None, Kind::Url, "Full URL for traces, if they go elsewhere."),
    row(OTEL_METRICS_ENDPOINT, None, Kind::Url, "Full URL for metrics, if they go elsewhere."),
    row(OTEL_LOGS_ENDPOINT, None, Kind::Url, "Full URL for logs, if they go elsewhere."),
    row(
        OTEL_HEADERS,
        None,
        Kind::Headers,
        "Headers for `OTEL_EXPORTER_OTLP_ENDPOINT`, unless `LAMBDA_OTLP_HEADERS` is set.",
    ),
    row(
        OTEL_TIMEOUT,
        Some("10s"),
        Kind::Duration,
        "Time limit of one request. Increase it for a distant or slow backend.",
    ),
    row(
        OTEL_COMPRESSION,
        Some("gzip"),
        Kind::Choice(&["gzip", "none"]),
        "Set `none` if the backend cannot read gzip.",
    ),
    row(
        SECRET,
        None,
        Kind::SecretReference,
        "Secret with the authorization header, to keep credentials out of variables: `Basic …`, `Bearer …`, the base64 alone, `email:password`, or JSON with `authorization`, or `username` and `password`. `#key` at the end selects another key.",
    ),
    row(
        PROXY,
        None,
        Kind::Proxy,
        "Proxy for the backend alone, `http://user:password@host:port`, if the network allows no direct connection. Not used for a loopback address.",
    ),
];

pub const O2_DESTINATION: &[Variable] = &[
    row(
        O2_ENDPOINT,
        Some("https://api.openobserve.ai"),
        Kind::Url,
        "OpenObserve: the URL without the organization. Every other endpoint wins.",
    ),
    row(O2_ORGANIZATION, None, Kind::Text, "OpenObserve: the organization. Needs credentials."),
    row(
        O2_AUTHORIZATION,
        None,
        Kind::Secret,
        "OpenObserve: the authorization header, `Basic …` or the base64 alone.",
    ),
    row(
        O2_STREAM,
        Some("default"),
        Kind::Text,
        "OpenObserve: `LAMBDA_OTLP_STREAM` for `O2_ENDPOINT`.",
    ),
    row(O2_TIMEOUT, None, Kind::Duration, "OpenObserve: `OTEL_EXPORTER_OTLP_TIMEOUT`."),
];
