//! The markers of OTLP lines.

/// The key that marks a JSON object as an OTLP line.
pub const MARKER: &str = "__otel_otlp_stdout";

/// The key of a compact line, whose value is its content.
pub const COMPACT_MARKER: &str = "_otelc";
