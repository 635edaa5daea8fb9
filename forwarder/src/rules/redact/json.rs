//! Redacts JSON that is written in a text: its strings and whole numbers, never its keys, and the
//! spaces stay where they are.

use super::Redaction;
use serde::de::{IgnoredAny, Visitor};
use std::fmt;

/// A text of JSON, redacted.
pub(super) struct Rewritten {
    pub(super) text: String,
    pub(super) changed: bool,
}

/// `None` if the text is no JSON object or array, or a nested one beyond reason.
pub(super) fn rewrite(text: &str, redaction: &Redaction) -> Option<Rewritten> {
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    if !looks_like_json || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let mut walk = Walk {
        redaction,
        rest: text,
        before: text.len(),
        out: String::with_capacity(text.len()),
        changed: false,
    };
    walk.value(false, DEEPEST)?;
    walk.out.push_str(walk.rest);
    Some(Rewritten { text: walk.out, changed: walk.changed })
}

const DEEPEST: usize = 100;

/// Goes through a text that is known to be JSON.
struct Walk<'t> {
    redaction: &'t Redaction,
    rest: &'t str,
    /// Bytes of the whole text.
    before: usize,
    out: String,
    changed: bool,
}

impl<'t> Walk<'t> {
    fn value(&mut self, hidden: bool, depth_left: usize) -> Option<()> {
        let depth_left = depth_left.checked_sub(1)?;
        self.copy_while(is_blank);
        match self.rest.as_bytes().first()? {
            b'{' => self.members(hidden, depth_left, true),
            b'[' => self.members(hidden, depth_left, false),
            b'"' => {
                let token = self.take_string()?;
                self.put_string(token, hidden);
                Some(())
            }
            _ => {
                let token = self.take_while(|c| !is_blank(c) && !matches!(c, ',' | ']' | '}'));
                self.put_scalar(token, hidden);
                Some(())
            }
        }
    }

    /// The members of an object or the values of an array, brackets included.
    fn members(&mut self, hidden: bool, depth_left: usize, is_object: bool) -> Option<()> {
        self.copy(1)?;
        loop {
            self.copy_while(|c| is_blank(c) || c == ',');
            if self.rest.starts_with(['}', ']']) {
                return self.copy(1);
            }
            let mut hidden = hidden;
            if is_object {
                let key = self.take_string()?;
                self.out.push_str(key);
                hidden = hidden || self.redaction.hides(&text_of(key)?);
                self.copy_while(|c| is_blank(c) || c == ':');
            }
            self.value(hidden, depth_left)?;
        }
    }

    fn put_string(&mut self, token: &str, hidden: bool) {
        let redacted = text_of(token).and_then(|text| {
            if hidden { Some(self.redaction.hide(&text)) } else { self.redaction.redacted(&text) }
        });
        match redacted.and_then(|redacted| serde_json::to_string(&redacted).ok()) {
            Some(redacted) => {
                self.changed |= redacted != token;
                // A long replacement of very many short strings is left out, and so are they.
                let after = self.out.len() + redacted.len() + self.rest.len();
                if Redaction::may_become(self.before, after) {
                    self.out.push_str(&redacted);
                } else {
                    self.out.push_str("\"\"");
                }
            }
            None => self.out.push_str(token),
        }
    }

    /// Numbers; `true`, `false` and `null` say too little to be hidden.
    fn put_scalar(&mut self, token: &str, hidden: bool) {
        let is_number = token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let replace =
            is_number && token != "0" && (hidden || self.redaction.finds_in_number(token));
        self.changed |= replace;
        self.out.push_str(if replace { "0" } else { token });
    }

    /// The string that stands here, quotes included.
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

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// What a string of JSON stands for; half a surrogate pair becomes U+FFFD.
fn text_of(token: &str) -> Option<String> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    let mut json = serde_json::Deserializer::from_str(token);
    serde::Deserializer::deserialize_bytes(&mut json, Text).ok()
}
