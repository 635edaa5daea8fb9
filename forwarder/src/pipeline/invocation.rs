//! What is known of the invocation in which an event is forwarded.

use tokio::time::Instant;

/// What is known of one invocation of the forwarder.
#[derive(Clone, Debug)]
pub struct InvocationContext {
    /// Time at which the invocation began, in nanoseconds since the Unix epoch.
    pub observed_unix_nano: u64,
    /// When the last request to a backend must have ended.
    pub deadline: Instant,
    /// When the last request to a queue must have ended.
    pub queue_deadline: Instant,
    /// The forwarder's own account, where known: a log group of the same name in another account
    /// is not its own.
    pub account: Option<String>,
}
