//! Keeps what the backend does not take: messages that hold it, and the queues they are sent to.
//!
//! The message is described in `docs/parked-messages.md`. The retry queue and the dead-letter queue hold the same
//! messages.

mod encoding;
mod message;
mod queue;
mod sqs;
mod timestamp;

pub use encoding::NotParked;
pub use message::{Content, MAX_MESSAGE_BYTES, Message, Origin, Parked};
pub use queue::{Queue, QueueError};
pub(crate) use sqs::{DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL};
pub use sqs::{QUEUES, SqsQueue};
pub(crate) use timestamp::rfc3339_nanos;
