//! Times in events.

use super::description::{TextList, at};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Formats a time of an event as RFC 3339 in UTC, with milliseconds.
pub(super) fn rfc3339(text: &str) -> Option<String> {
    wire::timestamp::parse(text).map(wire::timestamp::rfc3339_millis)
}

/// Returns the milliseconds since the Unix epoch at the first of these pointers that has a time: a number or the digits of milliseconds, or
/// RFC 3339.
pub(super) fn unix_ms_at(value: &Value, pointers: TextList) -> Option<u64> {
    pointers.iter().find_map(|pointer| match at(value, pointer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        Value::String(text) => Some(wire::timestamp::parse(text)? / 1_000_000),
        _ => None,
    })
}

/// Returns the time of the first of these pointers that has one.
pub(super) fn time_at(value: &Value, pointers: TextList) -> Option<SystemTime> {
    unix_ms_at(value, pointers).and_then(time_of_unix_ms)
}

/// Returns the time of milliseconds since the Unix epoch. `None` if the system cannot express it.
pub(super) fn time_of_unix_ms(unix_ms: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms))
}
