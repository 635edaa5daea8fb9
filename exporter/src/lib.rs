//! OpenTelemetry for Rust functions on AWS Lambda: spans, logs and metrics as OTLP lines on stdout.
