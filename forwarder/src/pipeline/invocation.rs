//! The invocation that forwards an event.

use tokio::time::Instant;

#[derive(Clone, Debug)]
pub struct InvocationContext {
    /// Start of the invocation, in nanoseconds since the Unix epoch.
    pub observed_unix_nano: u64,
    pub deadline: Instant,
    pub queue_deadline: Instant,
    /// The forwarder's own account, if known. A log group of the same name in another account is foreign.
    pub account: Option<String>,
}
