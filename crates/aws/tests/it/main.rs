//! Calls to AWS over real sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod credentials_endpoint;
mod fake;
mod metrics;
mod secrets;
mod sqs;
