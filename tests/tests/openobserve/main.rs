//! The shipped dashboards and alerts, and the commands that install them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod install;
mod shapes;
