//! Redacts JSON text: strings and whole numbers. Keys and white space stay.

use super::Redaction;
use super::keys::is_blank;
use crate::source::LossyText;
use serde::de::IgnoredAny;
use wire::Depth;

/// Redacts a JSON object or array, and counts its texts that were replaced whole; `None` if the text is neither.
/// `texts` may be read in its strings.
pub(super) fn rewrite(text: &str, redaction: &Redaction, texts: Depth) -> Option<(String, usize)> {
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    if !looks_like_json || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let mut walk = JsonWalk {
        redaction,
        texts,
        rest: text,
        before: text.len(),
        out: String::with_capacity(text.len()),
        whole: 0,
    };
    walk.values()?;
    Some((walk.out, walk.whole))
}

struct JsonWalk<'t> {
    redaction: &'t Redaction,
    texts: Depth,
    rest: &'t str,
    before: usize,
    out: String,
    whole: usize,
}

impl<'t> JsonWalk<'t> {
    fn values(&mut self) -> Option<()> {
        let mut depth = 0usize;
        // The depth of the hidden map or array.
        let mut hidden_at = None;
        let mut hides_next = false;
        loop {
            self.copy_while(|c| is_blank(c) || matches!(c, ',' | ':'));
            let Some(byte) = self.rest.as_bytes().first() else { return Some(()) };
            let hidden = hides_next || hidden_at.is_some();
            match byte {
                b'{' | b'[' => {
                    depth += 1;
                    if hidden {
                        hidden_at.get_or_insert(depth);
                    }
                    self.copy(1)?;
                }
                b'}' | b']' => {
                    hidden_at = hidden_at.filter(|at| *at < depth);
                    depth = depth.checked_sub(1)?;
                    self.copy(1)?;
                }
                b'"' => {
                    let token = self.take_string()?;
                    if self.rest.trim_start_matches(is_blank).starts_with(':') {
                        self.out.push_str(token);
                        hides_next = self.redaction.hides(&text_of(token)?);
                        continue;
                    }
                    self.put_string(token, hidden);
                }
                _ => {
                    let token = self.take_while(|c| !is_blank(c) && !matches!(c, ',' | ']' | '}'));
                    self.put_scalar(token, hidden);
                }
            }
            hides_next = false;
        }
    }

    fn put_string(&mut self, token: &str, hidden: bool) {
        let replaced =
            text_of(token).and_then(|text| self.redaction.replaced(&text, hidden, self.texts));
        let written =
            replaced.and_then(|(text, whole)| Some((serde_json::to_string(&text).ok()?, whole)));
        let Some((json, whole)) = written.filter(|(json, _)| json != token) else {
            return self.out.push_str(token);
        };
        self.whole += whole;
        // Very many short strings with a long replacement are removed instead.
        let after = self.out.len() + json.len() + self.rest.len();
        if Redaction::may_become(self.before, after) {
            self.out.push_str(&json);
        } else {
            self.out.push_str("\"\"");
        }
    }

    /// Writes a number, `true`, `false` or `null`; only numbers are redacted.
    fn put_scalar(&mut self, token: &str, hidden: bool) {
        let is_number = token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let is_hidden = is_number && self.redaction.hides_number(token, hidden);
        self.out.push_str(if is_hidden { "0" } else { token });
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

/// Decodes a JSON string.
fn text_of(token: &str) -> Option<String> {
    serde_json::from_str(token).ok().map(|LossyText(text)| text)
}
