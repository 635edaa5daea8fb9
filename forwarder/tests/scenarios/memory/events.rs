//! Events as Lambda delivers them, as JSON.

use crate::not_taken::parked;
use crate::support::{gzip_base64, payload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_otlp_forwarder::{Content, MAX_MESSAGE_BYTES};
use serde_json::{Value, json};

/// Lambda's limit on the payload of an invocation.
pub(super) const MAX_BYTES: usize = 6 << 20;

/// A subscription's event with these messages of a function.
pub(super) fn lines(messages: &[String]) -> String {
    subscription(&delivery("/aws/lambda/orders", messages))
}

/// A subscription's event with these messages of the log group of X-Ray's spans.
pub(super) fn spans(messages: &[String]) -> String {
    subscription(&delivery("aws/spans", messages))
}

/// A subscription's event with these messages of a state machine.
pub(super) fn machine_lines(messages: &[String]) -> String {
    let mut payload = payload("/aws/vendedlogs/states/orders-Logs", &[]);
    payload["logStream"] = json!("states/orders/2026-09-21-14-13/7851b2d9");
    subscription(&delivery_of(payload, messages))
}

fn subscription(delivery: &str) -> String {
    json!({"awslogs": {"data": gzip_base64(delivery)}}).to_string()
}

/// A delivery with CloudWatch's order of fields: log events after the log group are read in chunks.
pub(super) fn delivery(log_group: &str, messages: &[String]) -> String {
    delivery_of(payload(log_group, &[]), messages)
}

fn delivery_of(mut head: Value, messages: &[String]) -> String {
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    head["logEvents"] = payload("", &messages)["logEvents"].take();
    let members =
        ["messageType", "owner", "logGroup", "logStream", "subscriptionFilters", "logEvents"]
            .map(|key| format!("\"{key}\":{}", head[key]));
    format!("{{{}}}", members.join(","))
}

/// The head of a delivery that a producer of a Kinesis stream writes, up to its log events.
pub(super) const HEAD: &str =
    r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"/aws/lambda/orders","logStream":"s","#;

/// A Kinesis event with the gzip of these data.
pub(super) fn kinesis_gzip(data: &[String]) -> String {
    kinesis(data.iter().map(|data| gzip_base64(data)))
}

/// A Kinesis event with a record of raw bytes.
pub(super) fn kinesis_bytes(data: &[u8]) -> String {
    kinesis(std::iter::once(STANDARD.encode(data)))
}

fn kinesis(data: impl Iterator<Item = String>) -> String {
    let record = |(number, data): (usize, String)| {
        json!({"eventSource": "aws:kinesis", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "kinesis": {"sequenceNumber": format!("{number:056}"), "data": data,
                "approximateArrivalTimestamp": 1_790_000_000.5}})
    };
    json!({"Records": data.enumerate().map(record).collect::<Vec<_>>()}).to_string()
}

/// A message of the retry queue: Lambda's record of a failed invocation with this event, as `redrive --bucket` sends it.
pub(super) fn redriven(event: &str) -> String {
    of_queue(&format!(r#"{{"requestPayload":{event}}}"#))
}

/// The first message of parked content.
pub(super) fn first_message(content: Content, items: usize) -> String {
    let messages = parked("default", content, items).into_messages(MAX_MESSAGE_BYTES);
    of_queue(&messages[0].body)
}

/// An event with one message of the retry queue.
fn of_queue(body: &str) -> String {
    json!({"Records": [{"messageId": "1", "receiptHandle": "1", "body": body,
        "attributes": {"ApproximateReceiveCount": "1"}, "eventSource": "aws:sqs"}]})
    .to_string()
}
