//! Reads messages of an SQS queue: parked requests, Lambda's on-failure records, bare events.
//!
//! Source: Lambda Developer Guide, "Using Lambda with SQS" and "Capturing records of asynchronous
//! invocations" (the invocation record holds the event as `requestPayload`).

use super::Event;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;

/// One message of an SQS event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    /// Names the message in a partial batch response.
    pub message_id: String,
    /// Names this receipt of the message.
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

/// What a message holds.
#[derive(Debug)]
pub enum QueueBody<'a> {
    /// An event, of itself or in the record of a failed invocation.
    Event(Event),
    /// Anything else: what the forwarder parked, or something foreign.
    Other(&'a str),
}

impl QueueMessage {
    /// How often the message was received, this time included; at least 1.
    pub fn receive_count(&self) -> u32 {
        let count = self.attributes.get("ApproximateReceiveCount");
        count.and_then(|count| count.parse().ok()).unwrap_or(1).max(1)
    }

    /// The body as it is.
    pub fn text(&self) -> &str {
        &self.body
    }

    /// What the body holds.
    pub fn body(&self) -> QueueBody<'_> {
        #[derive(Deserialize)]
        struct InvocationRecord {
            #[serde(rename = "requestPayload")]
            request_payload: Event,
        }
        if let Ok(InvocationRecord { request_payload }) = serde_json::from_str(&self.body) {
            return QueueBody::Event(request_payload);
        }
        match serde_json::from_str(&self.body) {
            Ok(event @ (Event::CloudWatchLogs(_) | Event::Kinesis(_))) => QueueBody::Event(event),
            _ => QueueBody::Other(&self.body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let message: QueueMessage = serde_json::from_value(serde_json::json!({
            "messageId": "m", "receiptHandle": "r", "body": body,
            "attributes": {"ApproximateReceiveCount": "3"},
        }))
        .unwrap();
        assert_eq!(message.receive_count(), 3);
        assert_eq!(format!("{:?}", message.body()), expected);
    }

    #[test]
    fn a_body_is_told_by_its_shape() {
        check(r#"{"awslogs":{"data":"abc"}}"#, "Event(CloudWatchLogs(Subscription(3 bytes)))");
        check(
            r#"{"version":"1.0","requestContext":{"condition":"RetriesExhausted"},"requestPayload":{"awslogs":{"data":"abc"}}}"#,
            "Event(CloudWatchLogs(Subscription(3 bytes)))",
        );
        check(r#"{"requestPayload":{"x":1}}"#, r#"Event(Unknown("an event with the keys x"))"#);
        check("not json", r#"Other("not json")"#);
        check(r#"{"v":1}"#, r#"Other("{\"v\":1}")"#);
    }
}
