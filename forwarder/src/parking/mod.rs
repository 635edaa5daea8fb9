//! Messages for undelivered telemetry, and the queues that store them.
//!
//! `docs/guarantees.md` describes the message. Retry queue and dead-letter queue use the same format.

mod encoding;
mod message;
mod parked;
mod queue;
mod sqs;
mod variables;

pub use aws::QueueError;
pub use encoding::NotParked;
pub use message::{MAX_MESSAGE_BYTES, Message};
pub use parked::{Content, Parked};
pub use queue::Queue;
pub(crate) use variables::DEAD_LETTER_QUEUE_URL;
pub use variables::{QUEUES, RETRY_QUEUE_URL};
