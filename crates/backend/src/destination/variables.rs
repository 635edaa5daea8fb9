//! The destination's rows in the table of variables.

use settings::{
    Headers, Secret, SecretReference, Setting, SettingWithDefault, Variable, Word, shared,
};
use std::time::Duration;
use url::Url;

pub(crate) const ENDPOINT: Setting<Url> = Setting::url(
    "LAMBDA_OTLP_ENDPOINT",
    "Base URL of the backend; for OpenObserve it ends in `/api/{organization}`.",
);
pub(crate) const HEADERS: Setting<Headers> = Setting::headers(
    "LAMBDA_OTLP_HEADERS",
    "Headers of every request, such as `authorization=Basic …`. Prefer `LAMBDA_OTLP_SECRET` for credentials.",
);
pub(crate) const SECRET: Setting<SecretReference> = Setting::secret_reference(
    "LAMBDA_OTLP_SECRET",
    "Secret with the credentials, to keep them out of variables: `Basic …`, `Bearer …`, the base64 alone, `email:password`, another header such as `api-key: KEY`, or JSON with `authorization`, or `username` and `password`. `#key` at the end selects another key.",
);
pub(crate) const CA_FILE: Setting<String> = Setting::text(
    "LAMBDA_OTLP_CA_FILE",
    "PEM file with certificates to trust, if the backend's is self-signed or from your own authority. A relative path starts at the function's code.",
);
pub(crate) const PROXY: Setting<Url> = Setting::proxy(
    "LAMBDA_OTLP_PROXY",
    "Proxy for the backend alone, `http://user:password@host:port`, if the network allows no direct connection. Not used for a loopback address.",
);
pub const STREAM: Setting<String> = Setting::text(
    "LAMBDA_OTLP_STREAM",
    "OpenObserve's stream for traces and logs, `default` if unset. Set it to keep applications apart. The forwarder replaces `{account}`, `{region}`, `{log_group}`, `{log_stream}` and `{function}`.",
);
pub(crate) const BACKEND: SettingWithDefault<Word> = shared::LAMBDA_OTLP_BACKEND;
pub const SIGNALS: Setting<String> = Setting::text(
    "LAMBDA_OTLP_SIGNALS",
    "What the [backend takes](backends.md#signals-that-a-backend-lacks): `traces`, `metrics`, `logs`, and `cumulative_metrics` for metrics without deltas. Default: `traces,metrics,logs`.",
);
pub(crate) const OTEL_ENDPOINT: Setting<Url> = Setting::url(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OpenTelemetry's name for `LAMBDA_OTLP_ENDPOINT`, which wins.",
);
pub(crate) const OTEL_TRACES_ENDPOINT: Setting<Url> = Setting::url(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "Full URL for traces, if they go elsewhere.",
);
pub(crate) const OTEL_METRICS_ENDPOINT: Setting<Url> = Setting::url(
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "Full URL for metrics, if they go elsewhere.",
);
pub(crate) const OTEL_LOGS_ENDPOINT: Setting<Url> =
    Setting::url("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "Full URL for logs, if they go elsewhere.");
pub(crate) const OTEL_HEADERS: Setting<Headers> = Setting::headers(
    "OTEL_EXPORTER_OTLP_HEADERS",
    "Headers for `OTEL_EXPORTER_OTLP_ENDPOINT`, unless `LAMBDA_OTLP_HEADERS` is set.",
);
pub(crate) const OTEL_TIMEOUT: SettingWithDefault<Duration> = Setting::duration(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "Time limit of one request. Increase it for a distant or slow backend.",
)
.with_default("10s");
pub(crate) const OTEL_COMPRESSION: SettingWithDefault<Word> = Setting::choice(
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    &["gzip", "none"],
    "Set `none` if the backend cannot read gzip.",
)
.with_default("gzip");
pub(crate) const O2_ENDPOINT: SettingWithDefault<Url> = Setting::url(
    "O2_ENDPOINT",
    "OpenObserve: the URL without the organization. `LAMBDA_OTLP_ENDPOINT` and OpenTelemetry's endpoint for all signals win.",
)
.with_default("https://api.openobserve.ai");
pub(crate) const O2_ORGANIZATION: Setting<String> =
    Setting::text("O2_ORGANIZATION_ID", "OpenObserve: the organization. Needs credentials.");
pub(crate) const O2_AUTHORIZATION: Setting<Secret> = Setting::secret(
    "O2_AUTHORIZATION_HEADER",
    "OpenObserve: the authorization header, `Basic …` or the base64 alone.",
);
pub(crate) const O2_STREAM: SettingWithDefault<String> =
    Setting::text("O2_STREAM", "OpenObserve: `LAMBDA_OTLP_STREAM` for `O2_ENDPOINT`.")
        .with_default("default");
pub(crate) const O2_TIMEOUT: Setting<Duration> =
    Setting::duration("O2_REQUEST_TIMEOUT_MS", "OpenObserve: `OTEL_EXPORTER_OTLP_TIMEOUT`.");

/// The rows of a destination, for the table of each binary that sends, which also needs those of [`aws::AWS`], [`aws::SECRETS`]
/// and [`settings::PROXY`].
pub const DESTINATION: &[Variable] = &[
    ENDPOINT.row(),
    HEADERS.row(),
    STREAM.row(),
    BACKEND.row(),
    SIGNALS.row(),
    CA_FILE.row(),
    OTEL_ENDPOINT.row(),
    OTEL_TRACES_ENDPOINT.row(),
    OTEL_METRICS_ENDPOINT.row(),
    OTEL_LOGS_ENDPOINT.row(),
    OTEL_HEADERS.row(),
    OTEL_TIMEOUT.row(),
    OTEL_COMPRESSION.row(),
    SECRET.row(),
    PROXY.row(),
];

pub const O2_DESTINATION: &[Variable] = &[
    O2_ENDPOINT.row(),
    O2_ORGANIZATION.row(),
    O2_AUTHORIZATION.row(),
    O2_STREAM.row(),
    O2_TIMEOUT.row(),
];
