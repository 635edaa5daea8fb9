//! Keeps what the backend does not take: messages that hold it, and the queues they are sent to.
//!
//! The message is described in `docs/guarantees.md`. The retry queue and the dead-letter queue hold the same
//! messages.

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
