//! Reads lines of `key=value` pairs, as logrus, slog and many others write them.

use std::borrow::Cow;

use crate::read::keys::{Role, role};

/// More pairs are data rather than a log record.
const MAX_PAIRS: usize = 128;

/// A text with more words between its pairs is prose.
const MAX_FURTHER_WORDS: usize = 2;

/// The pairs of a line, or none if it is no such line. A word without `=` continues the value before it, and never becomes a key:
/// in `password=correct horse` it is a part of a secret, and redaction does not look at keys.
pub(crate) fn pairs(line: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let mut further_words = 0;
    // The text from the last value on, if it has no quotes.
    let mut open: Option<&str> = None;
    let mut rest = line.trim();
    if memchr::memchr2(b'\n', b'\r', rest.as_bytes()).is_some() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        if let Some(value) = after.strip_prefix('=').filter(|_| is_key(word)) {
            if pairs.len() == MAX_PAIRS {
                return None;
            }
            let (content, after) = value_at(value)?;
            open = (!value.starts_with(['"', '\''])).then_some(value);
            pairs.push((word, content));
            rest = after.trim_start();
            continue;
        }
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        let (key, value) = pairs.last_mut()?;
        let is_list = value.starts_with(['[', '{', '(']);
        let key_role = role(key);
        if !is_list && is_key(word) && key_role != Some(Role::Message) {
            // A level, a time and an id have one word.
            if key_role.is_some() || further_words == MAX_FURTHER_WORDS {
                return None;
            }
            further_words += 1;
        }
        let begin = open?;
        let bytes = begin.len() - after.len();
        *value = Cow::Borrowed(begin.get(..bytes)?);
        rest = after.trim_start();
    }
    (pairs.len() > 1).then_some(pairs)
}

/// A value, and the text after it.
fn value_at(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (value, after) = if let Some(quoted) = text.strip_prefix('"') {
        quoted_value(quoted, b'"')?
    } else if let Some(quoted) = text.strip_prefix('\'') {
        // Python's structlog
        quoted_value(quoted, b'\'')?
    } else {
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        (Cow::Borrowed(value), after)
    };
    (after.is_empty() || after.starts_with([' ', '\t'])).then_some((value, after))
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

fn quoted_value(quoted: &str, quote: u8) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = quoted.bytes().position(|byte| {
        let is_end = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let value = quoted.get(..end)?;
    let after = quoted.get(end + 1..)?;
    if !value.contains('\\') {
        return Some((Cow::Borrowed(value), after));
    }
    // Go's escapes are JSON's, except for bytes, which stay as written. Python also escapes its own quote, and not the other one.
    let json = match quote {
        b'"' => format!("\"{value}\""),
        _ => format!("\"{}\"", value.replace("\\'", "'").replace('"', "\\\"")),
    };
    let value = serde_json::from_str(&json).unwrap_or_else(|_| value.to_owned());
    Some((Cow::Owned(value), after))
}
