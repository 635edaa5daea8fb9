//! The client over real sockets, with its transport.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

mod cloudwatch;
mod openobserve;
mod requests;
mod secret;
mod transport;
mod types;
