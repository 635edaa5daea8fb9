//! The extension as a process beside a function, in a local Lambda that freezes, kills and shuts down. The function's result is
//! the same as without the layer, and acknowledged items are in the log.

#![expect(clippy::indexing_slicing, reason = "what goes wrong in the local Lambda fails the test")]

mod environments;
mod stories;

use lambda_otlp_tests::stories::{Program, run_in_lambda};

fn program() -> Program {
    Program::of_tests(env!("CARGO_BIN_EXE_lambda-otlp-extension"))
}

/// The function where Lambda runs it; in a test run, nothing.
#[test]
fn the_function() {
    run_in_lambda();
}
