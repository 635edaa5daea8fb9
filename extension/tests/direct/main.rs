//! Direct mode beside a function, in a local Lambda that freezes, kills and shuts down. The function's result is the same as
//! without the layer, its time has a bound, and acknowledged items are delivered or in the log.

#![expect(clippy::unwrap_used, reason = "what goes wrong in the local Lambda fails the test")]

mod account;
mod environments;
mod freezes;
mod grpc;
mod proxies;
mod secrets;
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
