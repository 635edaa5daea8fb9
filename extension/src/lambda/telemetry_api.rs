//! The body of the subscription to Lambda's Telemetry API.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API reference".

use crate::config::TELEMETRY_MAX_BYTES;
use crate::json;

/// The schema versions to try in turn. Managed instances accept only the first, older emulators perhaps only the second.
pub(crate) const SCHEMA_VERSIONS: [&str; 2] = ["2025-01-29", "2022-12-13"];

pub(crate) fn subscription(types: &[&str], schema_version: &str, uri: &str) -> String {
    let buffering = json::object(&[
        // The least values that Lambda accepts: events arrive as early as possible.
        ("maxItems", "1000"),
        ("maxBytes", &TELEMETRY_MAX_BYTES.to_string()),
        ("timeoutMs", "25"),
    ]);
    let destination = json::object(&[("protocol", "\"HTTP\""), ("URI", &json::string(uri))]);
    json::object(&[
        ("schemaVersion", &json::string(schema_version)),
        ("types", &json::strings(types)),
        ("buffering", &buffering),
        ("destination", &destination),
    ])
}
