//! What runtimes print about failed invocations, and lines of loggers that resemble it.

use serde::Deserialize;

/// A row of `tests/fixtures/runtime-errors.jsonl`.
#[derive(Deserialize)]
pub struct RuntimeErrorCase {
    pub runtime: String,
    /// Lambda's log format, or a variant of the failure.
    pub format: String,
    /// The runtime's lines about one failure.
    pub lines: Vec<String>,
    /// `true` if a logger writes such a line too.
    #[serde(default)]
    pub only_last: bool,
    /// Lines that a function logs itself.
    pub logged: Vec<String>,
    /// Empty if the lines do not say it.
    #[serde(default)]
    pub error_type: String,
    pub message: Option<String>,
}

/// Returns all rows.
///
/// # Panics
///
/// Panics if a row has another form.
pub fn runtime_error_cases() -> Vec<RuntimeErrorCase> {
    let rows = include_str!("../../../tests/fixtures/runtime-errors.jsonl");
    rows.lines().map(case).collect()
}

fn case(row: &str) -> RuntimeErrorCase {
    serde_json::from_str(row).unwrap_or_else(|error| panic!("{error} in the row {row}"))
}
