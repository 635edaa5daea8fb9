//! One message of an SQS queue, as Lambda passes it on.
//!
//! Source: Lambda Developer Guide, "Using Lambda with SQS".

use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    /// Identifies the message in a partial batch response.
    pub message_id: String,
    /// Identifies this receipt of the message.
    pub receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
}

impl fmt::Debug for QueueMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueMessage({}, {} bytes)", self.message_id, self.body.len())
    }
}

impl QueueMessage {
    /// The number of receipts, including this one; at least 1.
    pub fn receive_count(&self) -> u32 {
        let count = self.attributes.get("ApproximateReceiveCount");
        count.and_then(|count| count.parse().ok()).unwrap_or(1).max(1)
    }

    /// Time of the first receipt, in nanoseconds since the Unix epoch; 0 if unknown.
    pub fn first_received_unix_nano(&self) -> u64 {
        let time = self.attributes.get("ApproximateFirstReceiveTimestamp");
        let time_ms: Option<u64> = time.and_then(|time| time.parse().ok());
        time_ms.unwrap_or_default().saturating_mul(1_000_000)
    }

    pub fn text(&self) -> &str {
        &self.body
    }
}
