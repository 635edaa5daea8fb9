//! The marker of OTLP lines.

/// The key that marks a JSON object as an OTLP line.
pub const MARKER: &str = "__otel_otlp_stdout";
