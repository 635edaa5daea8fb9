//! The fingerprint of an exception without frames: its type, and its message without ids.
//!
//! The forwarder adds the frames of those that have some. The library writes the fingerprint of a handler's error itself, because the
//! forwarder passes OTLP on unread.

use crate::fnv;

/// The characters of a message that count.
pub const MAX_OF_MESSAGE: usize = 256;

/// Returns the fingerprint of an exception without frames, as 16 hexadecimal digits.
pub fn from_message(kind: &str, message: &str) -> String {
    let mut identity = format!("{}\n", type_name(kind));
    push_message(&mut identity, message);
    digits(&identity)
}

/// Returns the 16 digits for the text that distinguishes an exception.
pub fn digits(identity: &str) -> String {
    format!("{:016x}", fnv::hash(identity.as_bytes()))
}

/// The name without its package, and without what Lambda's runtime for Ruby puts around it: `Function<Shop::Declined>`.
pub fn type_name(kind: &str) -> &str {
    let kind = kind.trim_end_matches('>');
    kind.rsplit(['.', ':', '\\', '$', '<']).next().unwrap_or(kind)
}

/// Appends the first line of a message. A word with a digit or an at sign, and a quoted text, become `#`.
pub fn push_message(text: &mut String, message: &str) {
    const QUOTES: [char; 3] = ['"', '\'', '`'];
    let line = message.lines().next().unwrap_or_default();
    let end = line.char_indices().nth(MAX_OF_MESSAGE).map_or(line.len(), |(at, _)| at);
    let mut quote = None;
    let mut is_behind_mark = false;
    for word in line.get(..end).unwrap_or_default().split_whitespace() {
        let word = word.trim_matches(['(', ')', '[', ']', '{', '}', ',', ';', ':', '.']);
        let mut inner = word;
        if quote.is_none() {
            quote = word.chars().next().filter(|first| QUOTES.contains(first));
            inner = word.get(quote.map_or(0, char::len_utf8)..).unwrap_or_default();
        }
        let is_quoted = quote.is_some();
        if quote.is_some_and(|quote| inner.ends_with(quote)) {
            quote = None;
        }
        let is_mark = is_quoted || word.contains(|c: char| c.is_ascii_digit() || c == '@');
        if !(is_mark && is_behind_mark) {
            text.push(' ');
            text.push_str(if is_mark { "#" } else { word });
        }
        is_behind_mark = is_mark;
    }
}
