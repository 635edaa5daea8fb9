//! The extension against a scripted Lambda: each answer and each moment is the test's.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what goes wrong in the scripted Lambda fails the test"
)]

#[cfg(feature = "direct")]
mod direct;
mod foreign;
#[cfg(feature = "direct")]
mod grpc;
mod grpc_client;
#[cfg(not(feature = "direct"))]
mod grpc_refused;
#[cfg(feature = "direct")]
mod json;
mod lifecycle;
#[cfg(feature = "direct")]
mod lines;
#[cfg(feature = "direct")]
mod partial;
#[cfg(feature = "direct")]
mod protocols;
mod receiver;
mod support;
#[cfg(feature = "direct")]
mod xray;
