//! Finds the values of hidden keys in text with objects: JSON (also truncated or embedded), Python, JavaScript, Ruby, Java, .NET,
//! Go and Rust.

use super::TextRange;
use memchr::memmem;

const MAX_KEY_BYTES: usize = 256;

enum FoundKey<'t> {
    Quoted(&'t str),
    /// After `{` or `,`, as printed by Node and Java.
    Member(&'t str),
    /// Elsewhere after `{` or `map[`, as printed by Go. It may be prose.
    Word(&'t str),
}

const GO_MAP: &[u8] = b"map[";

/// Returns `false` if `find` finds nothing in the text.
pub(super) fn may_be_in(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr3(b'{', b'"', b'\'', bytes).is_some() || memmem::find(bytes, GO_MAP).is_some()
}

/// Finds the values of all keys that `hides` accepts, from left to right. A key is quoted, or follows `{` or `map[`.
pub(super) fn find(text: &str, hides: impl Fn(&str) -> bool, found: &mut dyn FnMut(TextRange)) {
    let bytes = text.as_bytes();
    let go_map = memmem::find(bytes, GO_MAP);
    let mut at = 0;
    let mut in_object = false;
    while let Some(offset) =
        bytes.get(at..).and_then(|rest| memchr::memchr3(b':', b'=', b'{', rest))
    {
        let separator = at + offset;
        at = separator + 1;
        if bytes.get(separator) == Some(&b'{') {
            in_object = true;
            continue;
        }
        let in_object = in_object || go_map.is_some_and(|begin| begin < separator);
        let value = match key_before(text, separator) {
            Some(FoundKey::Quoted(key)) if hides(key) => value_after(bytes, at, is_value_end),
            Some(FoundKey::Member(key)) if in_object && hides(key) => {
                value_after(bytes, at, is_value_end)
            }
            Some(FoundKey::Word(key)) if in_object && hides(key) => {
                value_after(bytes, at, |byte| is_value_end(byte) || is_blank(char::from(byte)))
            }
            _ => continue,
        };
        at = value.end.max(at);
        if !is_placeholder(text.get(value.clone()).unwrap_or_default()) {
            found(value);
        }
    }
}

/// Returns `true` for values that are not hidden in JSON either.
fn is_placeholder(value: &str) -> bool {
    matches!(
        value,
        "" | "true" | "false" | "null" | "True" | "False" | "None" | "nil" | "undefined"
    )
}

/// The key before a `:` or `=`.
fn key_before(text: &str, separator: usize) -> Option<FoundKey<'_>> {
    let before = text.get(..separator)?.trim_end_matches(is_blank);
    let Some(quote) = before.bytes().last().filter(|byte| is_quote(*byte)) else {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '@');
        let earliest = before.ceil_char_boundary(before.len().saturating_sub(MAX_KEY_BYTES));
        let end = before.get(earliest..)?;
        let name = end.get(end.trim_end_matches(is_part).len()..)?;
        let rest = before.get(..before.len() - name.len())?.trim_end_matches(is_blank);
        let is_member = rest.ends_with(['{', ',']);
        return Some(if is_member { FoundKey::Member(name) } else { FoundKey::Word(name) });
    };
    let end = before.len() - 1;
    let escapes = backslashes_before(before.as_bytes(), end);
    let key = before.get(..end - escapes)?;
    let earliest = key.ceil_char_boundary(key.len().saturating_sub(MAX_KEY_BYTES));
    let offsets = memchr::memrchr_iter(quote, key.as_bytes().get(earliest..)?);
    let mut quotes = offsets.map(|offset| earliest + offset);
    let begin = quotes.find(|at| backslashes_before(key.as_bytes(), *at) == escapes)?;
    key.get(begin + 1..).map(FoundKey::Quoted)
}

/// The value at or after `at`: the content of a string, a whole map or list, or the text before an end byte.
fn value_after(bytes: &[u8], at: usize, ends: impl Fn(u8) -> bool) -> TextRange {
    let is = |at: usize, wanted: &dyn Fn(u8) -> bool| bytes.get(at).copied().is_some_and(wanted);
    let skip = |mut at: usize, wanted: &dyn Fn(u8) -> bool| {
        while is(at, wanted) {
            at += 1;
        }
        at
    };
    let separated = skip(at, &|byte| matches!(byte, b':' | b'=' | b'>'));
    let begin = skip(separated, &|byte| is_blank(char::from(byte)));
    // `b'…'`, `Some("…")`, `[Object: null prototype] {…}`
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'&');
    let named = skip(begin, &is_name);
    let opening = skip(named, &|byte| byte == b'\\');
    if is(opening, &is_string_quote) {
        let begin = opening + 1;
        return begin..string_end(bytes, opening);
    }
    if is(named, &is_opening) {
        return begin..container_end(bytes, named);
    }
    // Go writes no space after the colon; prose does.
    if ends(b' ') && begin > separated {
        return separated..separated;
    }
    let mut end = skip(begin, &|byte| !ends(byte));
    while end > begin && is(end - 1, &|byte| matches!(byte, b' ' | b'\t' | b'\\')) {
        end -= 1;
    }
    begin..end
}

/// The end of the string whose opening quote is at `opening`, or of the text.
///
/// Each level of escaping adds a backslash to a quote and doubles existing backslashes.
fn string_end(bytes: &[u8], opening: usize) -> usize {
    let Some((quote, rest)) = bytes.get(opening..).and_then(<[u8]>::split_first) else {
        return bytes.len();
    };
    let escapes = backslashes_before(bytes, opening);
    let closes = |offset: &usize| {
        let before = backslashes_before(rest, *offset);
        before < escapes || before % (2 * escapes + 2) == escapes
    };
    let Some(close) = memchr::memchr_iter(*quote, rest).find(closes) else { return bytes.len() };
    opening + 1 + close - backslashes_before(rest, close).min(escapes)
}

/// The end of the map or list at `opening`, including brackets, or of the text.
fn container_end(bytes: &[u8], opening: usize) -> usize {
    let mut depth = 0usize;
    let mut at = opening;
    while let Some(byte) = bytes.get(at).copied() {
        let is_apostrophe = at.checked_sub(1).is_some_and(|before| {
            byte == b'\'' && bytes.get(before).is_some_and(u8::is_ascii_alphanumeric)
        });
        if is_string_quote(byte) && !is_apostrophe {
            at = string_end(bytes, at);
            // Its closing quote.
            at += bytes.iter().skip(at).take_while(|byte| **byte == b'\\').count();
        } else if is_opening(byte) {
            depth += 1;
        } else if matches!(byte, b'}' | b']' | b')') {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
        at += 1;
    }
    bytes.len()
}

fn is_value_end(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b'"' | b'\n' | b'\r')
}

fn backslashes_before(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count()
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// Node uses backticks for a string with both other quotes.
fn is_string_quote(byte: u8) -> bool {
    is_quote(byte) || byte == b'`'
}

fn is_opening(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'(')
}

pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}
