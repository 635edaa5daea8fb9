//! The local Lambda and CloudWatch Logs as tests see them, and the sink, which answers as OpenObserve was measured to answer.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod functions;
mod life;
mod logs;
mod oddities;
mod requests;
