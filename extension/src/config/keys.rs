//! The keys of `lambda-otlp.toml` and the corresponding variables, both from djv3's opentelemetry-lambda-extension.
//!
//! Source: crates.io, opentelemetry-lambda-extension 0.2.0, `src/config.rs`.

use settings::{Kind, Variable};

/// The prefix of djv3's variables.
pub(super) const PREFIX: &str = "LAMBDA_OTEL_";

#[derive(Clone, Copy)]
pub(super) enum Meaning {
    Of(&'static str),
    /// Like [`Of`](Self::Of), but a number without unit is milliseconds.
    Milliseconds(&'static str),
    Endpoint,
    Headers,
    Protocol,
    QueueBytes,
}

#[derive(Clone, Copy)]
pub(super) struct ConfigKey {
    /// `section.field`
    pub(super) name: &'static str,
    /// `LAMBDA_OTEL_SECTION_FIELD`
    pub(super) variable: Variable,
    pub(super) meaning: Meaning,
}

/// All supported keys. The first of two with one meaning counts.
pub(super) const KEYS: [ConfigKey; 10] = [
    key(
        "exporter.endpoint",
        "LAMBDA_OTEL_EXPORTER_ENDPOINT",
        Kind::Url,
        "djv3: `OTEL_EXPORTER_OTLP_ENDPOINT`, unless another variable names a host.",
        Meaning::Endpoint,
    ),
    key(
        "exporter.headers",
        "LAMBDA_OTEL_EXPORTER_HEADERS",
        Kind::Headers,
        "djv3: headers for that endpoint, also as `{name=\"value\"}`.",
        Meaning::Headers,
    ),
    key(
        "exporter.protocol",
        "LAMBDA_OTEL_EXPORTER_PROTOCOL",
        Kind::Choice(&["http", "http/protobuf", "http/json", "grpc"]),
        "djv3: `LAMBDA_OTLP_PROTOCOL`; `http` is `http/protobuf`.",
        Meaning::Protocol,
    ),
    key(
        "exporter.compression",
        "LAMBDA_OTEL_EXPORTER_COMPRESSION",
        Kind::Choice(&["gzip", "none"]),
        "djv3: `OTEL_EXPORTER_OTLP_COMPRESSION`.",
        Meaning::Of("OTEL_EXPORTER_OTLP_COMPRESSION"),
    ),
    key(
        "exporter.timeout",
        "LAMBDA_OTEL_EXPORTER_TIMEOUT",
        Kind::Duration,
        "djv3: `OTEL_EXPORTER_OTLP_TIMEOUT`.",
        Meaning::Milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT"),
    ),
    key(
        "receiver.http_port",
        "LAMBDA_OTEL_RECEIVER_HTTP_PORT",
        Kind::Count,
        "djv3: `OTEL_LAMBDA_RECEIVER_PORT`.",
        Meaning::Of("OTEL_LAMBDA_RECEIVER_PORT"),
    ),
    key(
        "receiver.port",
        "LAMBDA_OTEL_RECEIVER_PORT",
        Kind::Count,
        "djv3: `OTEL_LAMBDA_RECEIVER_PORT`.",
        Meaning::Of("OTEL_LAMBDA_RECEIVER_PORT"),
    ),
    key(
        "flush.interval",
        "LAMBDA_OTEL_FLUSH_INTERVAL",
        Kind::Duration,
        "djv3: `O2_FLUSH_INTERVAL_MS`.",
        Meaning::Of("O2_FLUSH_INTERVAL_MS"),
    ),
    key(
        "flush.timeout",
        "LAMBDA_OTEL_FLUSH_TIMEOUT",
        Kind::Duration,
        "djv3: `OTEL_LAMBDA_FLUSH_TIMEOUT`.",
        Meaning::Of("OTEL_LAMBDA_FLUSH_TIMEOUT"),
    ),
    key(
        "flush.max_queue_bytes",
        "LAMBDA_OTEL_FLUSH_MAX_QUEUE_BYTES",
        Kind::Count,
        "djv3: `O2_MAX_BUFFER_SIZE_MB` in bytes.",
        Meaning::QueueBytes,
    ),
];

const fn key(
    name: &'static str,
    variable: &'static str,
    kind: Kind,
    doc: &'static str,
    meaning: Meaning,
) -> ConfigKey {
    ConfigKey { name, variable: Variable { name: variable, default: None, kind, doc }, meaning }
}

pub(super) const ROWS: [Variable; KEYS.len()] = {
    let mut rows = [KEYS[0].variable; KEYS.len()];
    let (mut left, mut keys): (&mut [Variable], &[ConfigKey]) = (&mut rows, &KEYS);
    while let ([row, later @ ..], [key, keys_left @ ..]) = (left, keys) {
        *row = key.variable;
        (left, keys) = (later, keys_left);
    }
    rows
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_names_are_prefixed_keys_in_upper_case() {
        for ConfigKey { name, variable, .. } in KEYS {
            let expected = [PREFIX, &name.replace('.', "_").to_uppercase()].concat();
            assert_eq!(variable.name, expected);
        }
    }
}
