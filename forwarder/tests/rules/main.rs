//! What rules do to telemetry: every example of docs/rules.md, the order of things, the account.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod behaviour;
mod docs;
mod properties;
mod support;
