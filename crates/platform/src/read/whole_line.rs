//! Recognizes Lambda's lines without any text of the function, which may be omitted from the log records.
//!
//! An attacker who controls the beginning of a printed text can imitate Lambda's lines; the function's text behind it must not
//! disappear.

use crate::read::ids::UUID_BYTES;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Returns `true` if a `START`, `END`, `INIT_START` or `RESTORE_START` ends as Lambda ends it, or a JSON line has no other keys.
pub(crate) fn is_lambdas_to_the_end(message: &str) -> bool {
    let message = message.trim_ascii();
    match message.as_bytes().first() {
        Some(b'{') => serde_json::from_str::<SystemLine>(message).is_ok(),
        Some(b'E') => message.strip_prefix("END RequestId: ").is_some_and(is_one_word),
        Some(b'S') => message
            .strip_prefix("START RequestId: ")
            .and_then(|rest| rest.split_at_checked(UUID_BYTES))
            .is_some_and(|(_, rest)| rest.is_empty() || is_version(rest)),
        _ => is_runtime_version(message),
    }
}

/// The text after the request id of a `START`: the version, and for functions with tenants a name that may contain spaces.
fn is_version(rest: &str) -> bool {
    let Some(version) = rest.strip_prefix(" Version: ") else { return false };
    let end = version.find(|letter: char| letter.is_ascii_whitespace()).unwrap_or(version.len());
    let behind = version.get(end..).unwrap_or_default();
    let is_tenant = || {
        let name = behind.trim_ascii_start();
        ["TenantId: ", "Tenant ID: "].iter().any(|label| name.starts_with(label))
            && !behind.contains(['\n', '\r'])
    };
    behind.is_empty() || is_tenant()
}

/// `INIT_START Runtime Version: …`, with or without the version's ARN.
fn is_runtime_version(message: &str) -> bool {
    let words: Vec<&str> = message.split_ascii_whitespace().collect();
    let ["INIT_START" | "RESTORE_START", "Runtime", "Version:", _, rest @ ..] = words.as_slice()
    else {
        return false;
    };
    matches!(rest, [] | ["Runtime", "Version", "ARN:", _]) && !message.contains(['\n', '\r'])
}

fn is_one_word(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_whitespace())
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
