//! Recognizes Lambda's lines without any text of the function, which may be omitted from the log records.
//!
//! An attacker who controls the beginning of a printed text can imitate Lambda's lines; the function's text after it must not
//! disappear.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Returns `true` if a `START`, `END`, `INIT_START` or `RESTORE_START` ends as Lambda ends it, or a JSON line has no other keys.
pub(crate) fn is_lambdas_to_the_end(message: &str) -> bool {
    const MAX_WORDS: usize = 9;
    let message = message.trim_ascii();
    if message.starts_with('{') {
        return serde_json::from_str::<SystemLine>(message).is_ok();
    }
    let mut words = [""; MAX_WORDS];
    let places = words.iter_mut().zip(message.split_ascii_whitespace());
    let count = places.map(|(place, word)| *place = word).count();
    let is_whole = matches!(
        words.get(..count),
        Some(
            ["START" | "END", "RequestId:", _]
                | ["START", "RequestId:", _, "Version:", _]
                // The name of a tenant may have spaces.
                | ["START", "RequestId:", _, "Version:", _, "TenantId:", ..]
                | ["START", "RequestId:", _, "Version:", _, "Tenant", "ID:", ..]
                | ["INIT_START" | "RESTORE_START", "Runtime", "Version:", _]
                | [_, "Runtime", "Version:", _, "Runtime", "Version", "ARN:", _]
        )
    );
    is_whole && memchr::memchr2(b'\n', b'\r', message.as_bytes()).is_none()
}

/// The keys of Lambda's JSON system log lines; those of web functions add level and region.
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
