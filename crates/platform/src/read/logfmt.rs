//! Reads lines of `key=value` pairs, as logrus, slog and many others write them.

use std::borrow::Cow;

/// More pairs are data rather than a log record.
const MAX_PAIRS: usize = 128;

/// The pairs of a line, or none if anything else is in it.
pub(crate) fn pairs(line: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut pairs = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=').filter(|(key, _)| is_key(key))?;
        let (value, behind) = if let Some(quoted) = value.strip_prefix('"') {
            quoted_value(quoted)?
        } else if let Some(quoted) = value.strip_prefix('\'') {
            // Python's structlog
            let (value, behind) = quoted.split_once('\'')?;
            (Cow::Borrowed(value), behind)
        } else {
            let end = value.find([' ', '\t']).unwrap_or(value.len());
            let (value, behind) = value.split_at_checked(end)?;
            (Cow::Borrowed(value), behind)
        };
        if pairs.len() == MAX_PAIRS || value.contains('\n') {
            return None;
        }
        pairs.push((key, value));
        if !(behind.is_empty() || behind.starts_with([' ', '\t'])) {
            return None;
        }
        rest = behind.trim_start();
    }
    (pairs.len() > 1).then_some(pairs)
}

/// Returns `true` if the text begins with a key and `=`.
pub(crate) fn begins(text: &str) -> bool {
    let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or_default();
    end > 0 && text.as_bytes().get(end) == Some(&b'=')
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(is_part)
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/')
}

fn quoted_value(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = quoted.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let (value, behind) = quoted.split_at_checked(end)?;
    let behind = behind.get(1..)?;
    if !value.contains('\\') {
        return Some((Cow::Borrowed(value), behind));
    }
    // Go's escapes are JSON's, except for bytes, which stay as written.
    let value = serde_json::from_str(&format!("\"{value}\"")).unwrap_or_else(|_| value.to_owned());
    Some((Cow::Owned(value), behind))
}
