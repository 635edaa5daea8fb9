//! The shipped dashboards and alerts: each query parses and finds its columns; and the commands that install them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod install;
mod queries;
mod shapes;
mod shipped;
mod story;
