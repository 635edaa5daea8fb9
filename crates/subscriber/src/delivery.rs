//! The event with which CloudWatch Logs delivers lines to a function.
//!
//! Source: CloudWatch Logs User Guide, "Subscription filters with AWS Lambda".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A fast level, because the text only goes to the forwarder.
const GZIP_LEVEL: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedLine<'a> {
    /// Unique in all log groups.
    pub id: &'a str,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    pub message: &'a str,
}

/// Creates the event with lines of one stream, in order; `filter` is named as the sender.
pub fn delivery<'a>(
    account: &str,
    log_group: &str,
    stream: &str,
    filter: &str,
    lines: impl IntoIterator<Item = LoggedLine<'a>>,
) -> Value {
    let event = |LoggedLine { id, timestamp_ms, message }: LoggedLine<'_>| json!({ "id": id, "timestamp": timestamp_ms, "message": message });
    let events: Vec<Value> = lines.into_iter().map(event).collect();
    let payload = json!({
        "messageType": "DATA_MESSAGE", "owner": account, "logGroup": log_group,
        "logStream": stream, "subscriptionFilters": [filter], "logEvents": events,
    });
    let gzip = wire::gzip::compress(GZIP_LEVEL, payload.to_string().as_bytes());
    json!({ "awslogs": { "data": STANDARD.encode(gzip) } })
}
