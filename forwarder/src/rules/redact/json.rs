//! Redacts JSON text: strings and whole numbers. Keys and white space stay.

use super::keys::is_blank;
use super::{Redaction, ReplacedText};
use crate::source::LossyText;
use serde::de::IgnoredAny;
use wire::Depth;

/// Redacts a JSON object or array; `None` if the text is neither. `levels` limits JSON in its strings.
pub(super) fn rewrite(text: &str, redaction: &Redaction, levels: Depth) -> Option<ReplacedText> {
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    if !looks_like_json || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let mut walk = JsonWalk {
        redaction,
        levels,
        rest: text,
        bytes_before: text.len(),
        out: String::with_capacity(text.len()),
        whole: 0,
    };
    walk.rewrite_values()?;
    Some(ReplacedText { text: walk.out, whole: walk.whole })
}

/// Copies JSON from `rest` to `out`, with redacted values.
struct JsonWalk<'t> {
    redaction: &'t Redaction,
    levels: Depth,
    rest: &'t str,
    /// Length of the whole text before.
    bytes_before: usize,
    out: String,
    /// Number of texts that were replaced whole.
    whole: usize,
}

impl<'t> JsonWalk<'t> {
    fn rewrite_values(&mut self) -> Option<()> {
        let mut depth = 0usize;
        // The depth of the map or array whose key is hidden.
        let mut hidden_depth = None;
        let mut follows_hidden_key = false;
        loop {
            self.copy_while(|c| is_blank(c) || matches!(c, ',' | ':'));
            let Some(byte) = self.rest.as_bytes().first() else { return Some(()) };
            let is_hidden = follows_hidden_key || hidden_depth.is_some();
            match byte {
                b'{' | b'[' => {
                    depth += 1;
                    if is_hidden {
                        hidden_depth.get_or_insert(depth);
                    }
                    self.copy(1)?;
                }
                b'}' | b']' => {
                    hidden_depth = hidden_depth.filter(|hidden| *hidden < depth);
                    depth = depth.checked_sub(1)?;
                    self.copy(1)?;
                }
                b'"' => {
                    let token = self.take_string()?;
                    let is_key = self.rest.trim_start_matches(is_blank).starts_with(':');
                    if is_key {
                        self.out.push_str(token);
                        follows_hidden_key = self.redaction.hides(&decode_string(token)?);
                        continue;
                    }
                    self.write_string(token, is_hidden);
                }
                _ => {
                    let token = self.take_while(|c| !is_blank(c) && !matches!(c, ',' | ']' | '}'));
                    self.write_scalar(token, is_hidden);
                }
            }
            follows_hidden_key = false;
        }
    }

    fn write_string(&mut self, token: &str, is_hidden: bool) {
        let text = decode_string(token);
        let replaced = text.and_then(|text| self.redaction.replaced(&text, is_hidden, self.levels));
        let Some(replaced) = replaced else { return self.out.push_str(token) };
        let json = serde_json::to_string(&replaced.text).ok().filter(|json| json != token);
        let Some(json) = json else { return self.out.push_str(token) };
        self.whole += replaced.whole;
        // Very many short strings with a long replacement are removed instead.
        let bytes_after = self.out.len() + json.len() + self.rest.len();
        if Redaction::may_become(self.bytes_before, bytes_after) {
            self.out.push_str(&json);
        } else {
            self.out.push_str("\"\"");
        }
    }

    /// Writes a number, `true`, `false` or `null`; only numbers are redacted.
    fn write_scalar(&mut self, token: &str, is_hidden: bool) {
        let is_number = token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let is_redacted = is_number && self.redaction.hides_number(token, is_hidden);
        self.out.push_str(if is_redacted { "0" } else { token });
    }

    /// Takes the string at the current position, with its quotes.
    fn take_string(&mut self) -> Option<&'t str> {
        let mut escaped = false;
        let end = self.rest.bytes().enumerate().skip(1).find_map(|(at, byte)| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end.then_some(at + 1)
        })?;
        self.take(end)
    }

    fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !is_wanted(c)).unwrap_or(self.rest.len());
        self.take(end).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn copy_while(&mut self, is_wanted: impl Fn(char) -> bool) {
        let taken = self.take_while(is_wanted);
        self.out.push_str(taken);
    }

    fn copy(&mut self, len: usize) -> Option<()> {
        let taken = self.take(len)?;
        self.out.push_str(taken);
        Some(())
    }
}

/// Decodes a JSON string with its quotes.
fn decode_string(token: &str) -> Option<String> {
    serde_json::from_str(token).ok().map(|LossyText(text)| text)
}
