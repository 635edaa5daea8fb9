//! What is installed into OpenObserve: whether each query can be read and finds what it asks for, and the commands that install it.

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
