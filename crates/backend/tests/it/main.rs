//! The client over real sockets, with each of its transports.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

#[cfg(feature = "lean")]
mod grpc;
#[cfg(feature = "lean")]
mod lean;
mod openobserve;
mod requests;
mod support;
mod tls_and_proxy;
