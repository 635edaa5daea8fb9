//! The client context of an invocation by Lambda's API (API reference, `Invoke`, `ClientContext`).

use super::fields::Fields;
use super::json::with_fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes that Lambda takes, base64 as they are.
const MAX_BYTES: usize = 3583;

/// The client context with the fields among its custom values; `None` where it stays as it is.
pub(super) fn with_custom(existing: Option<&str>, fields: &Fields) -> Option<String> {
    let existing = match existing {
        Some(base64) => String::from_utf8(STANDARD.decode(base64).ok()?).ok()?,
        None => "{}".to_owned(),
    };
    let written = STANDARD.encode(with_fields(&existing, "custom", fields)?);
    (written.len() <= MAX_BYTES).then_some(written)
}
