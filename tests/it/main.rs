//! End-to-end tests with real processes, one module for each program or promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, and figures that they print"
)]

mod abort;
mod cli;
mod demo;
mod dev;
mod examples;
mod extension;
mod forwarder;
mod fuzz;
mod golang;
mod growth;
mod local_lambda;
mod mistakes;
mod modes;
mod openobserve;
mod page;
mod program;
mod tail;
