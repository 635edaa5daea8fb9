//! Knows which of Lambda's lines hold nothing but what Lambda wrote, so that they may go without a record.
//!
//! Whoever chooses the beginning of a text that a function prints can make it begin as Lambda's lines do; what the function says
//! behind that must not vanish with it.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Whether a `START`, `END`, `INIT_START` or `RESTORE_START` ends as Lambda ends it, or a JSON line has no other keys.
pub(crate) fn is_lambdas_to_the_end(message: &str) -> bool {
    let message = message.trim();
    if message.starts_with('{') {
        return serde_json::from_str::<SystemLine>(message).is_ok();
    }
    if message.contains(['\n', '\r']) {
        return false;
    }
    let words: Vec<&str> = message.split_ascii_whitespace().collect();
    match words.as_slice() {
        ["END", "RequestId:", _] => true,
        ["START", "RequestId:", _, rest @ ..] => {
            // Names of tenants may have spaces.
            matches!(
                rest,
                [] | ["Version:", _]
                    | ["Version:", _, "TenantId:", _, ..]
                    | ["Version:", _, "Tenant", "ID:", _, ..]
            )
        }
        ["INIT_START" | "RESTORE_START", "Runtime", "Version:", _, rest @ ..] => {
            matches!(rest, [] | ["Runtime", "Version", "ARN:", _])
        }
        _ => false,
    }
}

/// What Lambda's JSON system log lines have, those of web functions with level and region.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SystemLine {
    #[serde(rename = "time", alias = "timestamp")]
    _time: IgnoredAny,
    #[serde(rename = "level")]
    _level: Option<IgnoredAny>,
    #[serde(rename = "region")]
    _region: Option<IgnoredAny>,
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[serde(rename = "record")]
    _record: IgnoredAny,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_lambdas_words_is_seen() {
        let check = |message: &str, expected| {
            assert_eq!(is_lambdas_to_the_end(message), expected, "{message}");
        };
        check("START RequestId: 8f507cfc Version: $LATEST\n", true);
        check("START RequestId: 8f507cfc Version: 1 Tenant ID: blue", true);
        check("START RequestId: 8f507cfc Version: 1 deleted account 17", false);
        check("START RequestId: 8f507cfc\nVersion: 1", false);
        check("END RequestId: 8f507cfc", true);
        check("END RequestId: 8f507cfc tried to log in", false);
        check("INIT_START Runtime Version: python:3.13.v1\tRuntime Version ARN: arn:aws:x", true);
        check("INIT_START Runtime Version: x user eve", false);
        check(
            r#"{"time":"2026-11-21T08:00:00Z","type":"platform.start","record":{"requestId":"r"}}"#,
            true,
        );
        check(
            r#"{"time":"2026-11-21T08:00:00Z","type":"platform.start","record":{},"message":"x"}"#,
            false,
        );
    }
}
