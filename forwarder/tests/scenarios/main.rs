//! Tests of the forwarder from outside: events in, requests to backends, queues and Lambda out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::format_collect,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    reason = "all of it is a test"
)]

mod deliveries;
mod events;
mod executions;
mod hostile_lines;
mod live_rules;
mod loggers;
mod memory;
mod memory_queue;
mod no_loss_property;
mod not_taken;
mod other_backends;
mod out_of_memory;
mod rules;
mod runtime_errors;
mod signals;
mod support;
mod vitals;
