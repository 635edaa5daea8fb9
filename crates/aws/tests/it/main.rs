//! Calls to AWS over real sockets.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

mod credentials_endpoint;
mod fake;
mod secrets;
mod sqs;
