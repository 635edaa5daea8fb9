//! The local Lambda and CloudWatch Logs as tests see them: environments, logs, variables.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod life;
mod logs;
mod support;
