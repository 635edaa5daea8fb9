//! The extension as a process beside a function, in a local Lambda that freezes, kills and shuts down: whatever happens, the
//! function's result is what it would be without the layer, and what was acknowledged is in the log.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what goes wrong in the local Lambda fails the test"
)]

mod function;
#[expect(dead_code, reason = "the bench measures what the tests only tell")]
mod states;
mod stories;
#[expect(dead_code, reason = "the bench measures what the tests only tell")]
mod story;

/// What the stories need to know of the program that tells them.
mod setup {
    use std::path::PathBuf;

    /// The extension.
    pub(crate) fn extension() -> PathBuf {
        PathBuf::from(env!("CARGO_BIN_EXE_lambda-otlp-extension"))
    }

    /// What makes this program the function: the name of a test.
    pub(crate) const FUNCTION: &[&str] = &["the_function", "--exact", "--nocapture"];
}

/// The function where Lambda runs it; in a test run, nothing.
#[test]
fn the_function() {
    function::run_in_lambda();
}
