//! The library as a function uses it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "aws-sdk")]
mod aws_sdk;
mod outgoing;
mod port;
mod testing;
