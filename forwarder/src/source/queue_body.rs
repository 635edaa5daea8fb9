//! Parses the body of an SQS message: a parked request, Lambda's record of a failed invocation, or a bare event.
//!
//! Source: Lambda Developer Guide, "Capturing records of asynchronous invocations" (the record has the event as
//! `requestPayload`).

use super::{Event, QueueMessage};
use serde::Deserialize;

#[derive(Debug)]
pub enum QueueBody<'a> {
    /// An event, bare or from the record of a failed invocation.
    Event(Event),
    /// Any other text, for example a parked request.
    Other(&'a str),
}

impl QueueMessage {
    pub fn body(&self) -> QueueBody<'_> {
        #[derive(Deserialize)]
        struct InvocationRecord {
            #[serde(rename = "requestPayload")]
            request_payload: Event,
        }
        if let Ok(InvocationRecord { request_payload }) = serde_json::from_str(self.text()) {
            return QueueBody::Event(request_payload);
        }
        match serde_json::from_str(self.text()) {
            Ok(event @ (Event::CloudWatchLogs(_) | Event::Kinesis(_))) => QueueBody::Event(event),
            _ => QueueBody::Other(self.text()),
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
    fn a_queue_body_is_recognized_by_its_shape() {
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
