//! The local Lambda and CloudWatch Logs as tests see them: environments, extensions, logs, subscriptions, telemetry.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod environments;
mod extensions;
mod life;
mod logs;
mod subscriptions;
mod support;
mod telemetry;
