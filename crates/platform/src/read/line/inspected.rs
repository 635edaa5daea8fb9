//! Reads an object as Node prints it, in one or several lines: `{ msg: 'declined', level: 'error' }`.
//!
//! Source: Node's `util.inspect`. Loggers print their record so if they give it to `console.log` as an object, such as LogLayer, Effect,
//! and winston's `prettyPrint`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::field::{LineField, LineFields, Value};
use crate::read::keys::Role;
use crate::read::severity::Severity;

/// More is data rather than a log record.
const MAX_FIELDS: usize = 64;
const MAX_BYTES: usize = 64 * 1024;

/// The fields of an object that is a logger's record: it has a level, and a message or a time.
pub(super) fn record_fields(text: &str) -> Option<LineFields<'static>> {
    let fields = fields(text)?;
    let has = |role: Role| fields.iter().any(|field| field.is(role));
    let has_level = fields
        .iter()
        .any(|field| field.is(Role::Level) && Severity::of_word(field.value.word()).is_some());
    (has_level && (has(Role::Message) || has(Role::Time))).then_some(fields)
}

/// The level of an object with the fields of a record, which Cabin prints after its text.
#[cold]
pub(super) fn level_after_text(text: &str) -> Option<Severity> {
    const BEGIN: &str = "{\n  level: '";
    let at = memchr::memmem::find(text.as_bytes(), BEGIN.as_bytes()).filter(|at| *at > 0)?;
    Severity::of_word(text.get(at + BEGIN.len()..)?.split('\'').next()?)
}

fn fields(text: &str) -> Option<LineFields<'static>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    if !inner.starts_with([' ', '\n']) || inner.len() > MAX_BYTES {
        return None;
    }
    let has_lines = inner.starts_with('\n');
    let mut fields = LineFields::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (key, after) = key(rest)?;
        let end = if has_lines { end_of_lines(after) } else { end_in_line(after) };
        let (value, following) = after.split_at_checked(end)?;
        if fields.len() == MAX_FIELDS {
            return None;
        }
        fields.push(LineField::new(Cow::Owned(key.to_owned()), value_of(value.trim())));
        rest = following.trim_start_matches([',', ' ', '\n']);
    }
    Some(fields)
}

/// A key, and the text after its colon.
fn key(text: &str) -> Option<(&str, &str)> {
    let (key, after) = text.split_once(": ")?;
    let name = key.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(key);
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@$".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_key)).then_some((name, after))
}

/// The end of a value before the next line of a key, which two blanks indent.
fn end_of_lines(text: &str) -> usize {
    let mut ends = memchr::memmem::find_iter(text.as_bytes(), ",\n  ");
    let is_key = |at: &usize| !text.get(at + 4..).is_some_and(|next| next.starts_with([' ', '}']));
    ends.find(is_key).unwrap_or(text.len())
}

/// The end of a value before a comma that is in no brackets and no quotes.
fn end_in_line(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        if let Some(open) = quote {
            if byte == open && !is_escaped {
                quote = None;
            }
            is_escaped = byte == b'\\' && !is_escaped;
            return false;
        }
        match byte {
            b'\'' | b'"' | b'`' => quote = Some(byte),
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b',' => return depth == 0,
            _ => {}
        }
        false
    });
    end.unwrap_or(text.len())
}

fn value_of(text: &str) -> Value<'static> {
    if text.starts_with(['\'', '"', '`']) {
        return Value::Text(Cow::Owned(unquoted(text)));
    }
    let is_plain = text == "true" || text == "false" || text.parse::<f64>().is_ok();
    let json = match text {
        "undefined" | "null" => Some("null"),
        _ => Some(text).filter(|_| is_plain),
    };
    match json.and_then(|json| RawValue::from_string(json.to_owned()).ok()) {
        Some(raw) => Value::Json(Cow::Owned(raw)),
        None => Value::Text(Cow::Owned(text.to_owned())),
    }
}

/// The text of a string, which Node divides at its line ends: `'declined\n' +` and the rest in the next line.
fn unquoted(text: &str) -> String {
    let parts = text.split(" +\n").map(str::trim);
    let content = |part: &str| {
        let quote = part.chars().next()?;
        let inner = part.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inner.replace("\\n", "\n").replace("\\'", "'").replace("\\\\", "\\"))
    };
    parts.map(|part| content(part).unwrap_or_else(|| part.to_owned())).collect()
}
