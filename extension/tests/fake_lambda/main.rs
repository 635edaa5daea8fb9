//! The extension against a scripted Lambda: each answer and each moment is the test's.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what goes wrong in the scripted Lambda fails the test"
)]

mod direct;
mod foreign;
mod grpc;
mod grpc_client;
mod json;
mod lifecycle;
mod lines;
mod partial;
mod protocols;
mod receiver;
mod support;
mod xray;
