//! The extension from outside: its command line, a scripted Lambda, and processes in a local Lambda.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what goes wrong in a test fails it"
)]

mod command_line;
mod direct;
mod fake_lambda;
mod simulated;

use lambda_otlp_tests::simulation::{Program, run_concurrently, run_in_lambda};
use tokio::sync::Mutex;

/// Held by tests that need ports 4317 and 4318.
static DEFAULT_PORTS: Mutex<()> = Mutex::const_new(());

fn program() -> Program {
    Program::of_tests(env!("CARGO_BIN_EXE_lambda-otlp-extension"))
}

/// The function where Lambda runs it; in a test run, nothing.
#[test]
fn the_function() {
    run_in_lambda();
}

/// The function of a managed instance where a test starts it; in a test run, nothing.
#[test]
fn the_concurrent_function() {
    run_concurrently();
}
