//! The local Lambda and CloudWatch Logs as tests see them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod functions;
mod life;
mod logs;
