//! The subscription to Lambda's Telemetry API: what is asked for, and in which versions.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API reference".

use crate::config::Telemetry;
use crate::json;

/// The versions that are asked for, in turn: managed instances know only the first, the older environments of emulators
/// perhaps only the second.
pub(crate) const SCHEMA_VERSIONS: [&str; 2] = ["2025-01-29", "2022-12-13"];

/// The body of a subscription.
pub(crate) fn subscription(telemetry: &Telemetry, schema_version: &str, uri: &str) -> String {
    let buffering = json::object(&[
        ("maxItems", &telemetry.max_items.to_string()),
        ("maxBytes", &telemetry.max_bytes.to_string()),
        ("timeoutMs", &telemetry.timeout.as_millis().to_string()),
    ]);
    let destination = json::object(&[("protocol", "\"HTTP\""), ("URI", &json::string(uri))]);
    json::object(&[
        ("schemaVersion", &json::string(schema_version)),
        ("types", &json::strings(&telemetry.types)),
        ("buffering", &buffering),
        ("destination", &destination),
    ])
}
