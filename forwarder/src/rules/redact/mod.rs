//! Redacts values. Keys, types and the structure of JSON stay.

mod card;
mod escapes;
mod finder;
mod ip;
mod json;
mod keys;
mod search;

#[cfg(test)]
mod matrix;
#[cfg(test)]
mod tests;

pub(super) use finder::{Finder, PRESETS, Preset};
pub(super) use search::compile;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use search::TooMuchWork;
use settings::Pattern;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

type TextRange = std::ops::Range<usize>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemPart {
    Attributes,
    Body,
    Events,
    Links,
    Exemplars,
    Status,
    Resource,
    Scope,
    Name,
}

impl ItemPart {
    pub(super) const NAMED: [(&'static str, Self); 9] = [
        ("attributes", Self::Attributes),
        ("body", Self::Body),
        ("events", Self::Events),
        ("links", Self::Links),
        ("exemplars", Self::Exemplars),
        ("status", Self::Status),
        ("resource", Self::Resource),
        ("scope", Self::Scope),
        ("name", Self::Name),
    ];

    /// All parts except the span name, by which spans are grouped.
    pub(super) fn default_parts() -> Vec<Self> {
        Self::NAMED.iter().map(|(_, part)| *part).filter(|part| *part != Self::Name).collect()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Replacement {
    /// Text in which `{name}` and `{hash}` stand for name and hash of the match.
    pub(super) with: String,
    pub(super) salt: String,
}

impl Replacement {
    pub(super) const DEFAULT: &'static str = "****";

    fn of(&self, name: &str, found: &str) -> String {
        let text = self.with.replace("{name}", name);
        if !text.contains("{hash}") {
            return text;
        }
        let mut hash = Sha256::new();
        hash.update(self.salt.as_bytes());
        hash.update([0]);
        hash.update(found.as_bytes());
        let hash = hash.finalize();
        text.replace("{hash}", &wire::ids::to_hex(hash.get(..8).unwrap_or_default()))
    }
}

/// A redaction: finders, parts and replacement.
#[derive(Clone, Debug)]
pub(super) struct Redaction {
    pub(super) finders: Vec<Finder>,
    /// Lower-case keys whose values are replaced whole.
    pub(super) keys: Vec<Pattern>,
    /// `true` if the file names keys. Keys of presets have needles.
    pub(super) has_own_keys: bool,
    /// If not empty, only these attributes are redacted.
    pub(super) only: Vec<Pattern>,
    pub(super) except: Vec<Pattern>,
    pub(super) parts: Vec<ItemPart>,
    pub(super) replacement: Replacement,
}

/// Length limit of a replacement, because an item may have very many texts.
pub(super) const MOST_REPLACEMENT: usize = 200;

/// A text may double and grow by this many bytes. If many short matches would grow it more, the text is replaced whole.
pub(super) const MOST_GROWTH: usize = 256;

/// With more matches than this, a text is replaced whole.
const MOST_FOUND: usize = 10_000;

/// Number of decoding passes, for example two for a percent-encoded JSON string.
const MOST_LAYERS: usize = 2;

/// The attribute with fields of a JSON line that have no attribute of their own.
const REST: &str = "lambda_otlp.rest";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Redacted {
    pub(super) values: usize,
    /// Texts that were replaced whole because they needed too much searching or replacing.
    pub(super) whole: usize,
}

impl Redacted {
    const ONE: Self = Self { values: 1, whole: 0 };
}

impl Add for Redacted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { values: self.values + other.values, whole: self.whole + other.whole }
    }
}

impl AddAssign for Redacted {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Redacted {
    fn sum<I: Iterator<Item = Self>>(redacted: I) -> Self {
        redacted.fold(Self::default(), Self::add)
    }
}

impl Redaction {
    pub(super) fn looks_into(&self, part: ItemPart) -> bool {
        self.parts.contains(&part)
    }

    /// Returns `false` if nothing can match in these bytes of unescaped text.
    pub(super) fn may_find_in(&self, bytes: &[u8]) -> bool {
        self.has_own_keys || self.finders.iter().any(|finder| finder.may_find_in(bytes))
    }

    pub(super) fn attributes(&self, part: ItemPart, attributes: &mut [KeyValue]) -> Redacted {
        if !self.looks_into(part) {
            return Redacted::default();
        }
        let meant = attributes.iter_mut().filter(|attribute| self.is_meant(&attribute.key));
        meant.map(|attribute| self.key_value(attribute, false)).sum()
    }

    fn is_meant(&self, key: &str) -> bool {
        let is_named = self.only.is_empty() || key == REST || Pattern::any(&self.only, key);
        is_named && !Pattern::any(&self.except, key)
    }

    /// Redacts the body of a log record. The body of a JSON line may repeat the value of a key such as `errorMessage`, which is
    /// hidden in both places.
    pub(super) fn body(&self, body: &mut AnyValue, attributes: &[KeyValue]) -> Redacted {
        if !self.looks_into(ItemPart::Body) {
            return Redacted::default();
        }
        let hidden = match &body.value {
            Some(Value::StringValue(text)) if !self.keys.is_empty() && !text.is_empty() => {
                let mut attributes = attributes.iter();
                self.looks_into(ItemPart::Attributes)
                    && attributes.any(|KeyValue { key, value, .. }| {
                        self.is_meant(key) && self.hides_in(value.as_ref(), text, self.hides(key))
                    })
            }
            _ => false,
        };
        self.any_value(body, hidden)
    }

    /// Returns `true` if this text is a hidden value, or is in one. `hidden` is `true` if the value's key is hidden.
    fn hides_in(&self, value: Option<&AnyValue>, text: &str, hidden: bool) -> bool {
        match value.and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(value)) => hidden && value == text,
            Some(Value::ArrayValue(array)) => {
                array.values.iter().any(|value| self.hides_in(Some(value), text, hidden))
            }
            Some(Value::KvlistValue(list)) => {
                list.values.iter().any(|KeyValue { key, value, .. }| {
                    self.hides_in(value.as_ref(), text, hidden || self.hides(key))
                })
            }
            _ => false,
        }
    }

    pub(super) fn text(&self, part: ItemPart, text: &mut String) -> Redacted {
        if self.looks_into(part) { self.string(text, false) } else { Redacted::default() }
    }

    fn key_value(&self, attribute: &mut KeyValue, hidden: bool) -> Redacted {
        let hidden = hidden || self.hides(&attribute.key);
        let value = attribute.value.as_mut();
        value.map(|value| self.any_value(value, hidden)).unwrap_or_default()
    }

    /// Redacts a value and those in it. Decoding limits the depth: to 100 messages in prost.
    fn any_value(&self, value: &mut AnyValue, hidden: bool) -> Redacted {
        match &mut value.value {
            Some(Value::StringValue(text)) => self.string(text, hidden),
            Some(Value::IntValue(number)) => {
                let replace = *number != 0 && (hidden || self.finds_in_number(&number.to_string()));
                if !replace {
                    return Redacted::default();
                }
                *number = 0;
                Redacted::ONE
            }
            Some(Value::DoubleValue(number)) if hidden => {
                *number = 0.0;
                Redacted::ONE
            }
            Some(Value::BytesValue(bytes)) if hidden || self.finds_in_bytes(bytes) => {
                bytes.clear();
                Redacted::ONE
            }
            Some(Value::ArrayValue(array)) => {
                array.values.iter_mut().map(|value| self.any_value(value, hidden)).sum()
            }
            Some(Value::KvlistValue(list)) => {
                let values = list.values.iter_mut();
                values.map(|attribute| self.key_value(attribute, hidden)).sum()
            }
            _ => Redacted::default(),
        }
    }

    fn string(&self, text: &mut String, hidden: bool) -> Redacted {
        let redacted =
            if hidden { Some((self.hide(text), Redacted::ONE)) } else { self.redacted(text) };
        match redacted {
            Some((new, redacted)) if new != *text => {
                *text = new;
                // Several matches in one value count once.
                Redacted { values: 1, ..redacted }
            }
            _ => Redacted::default(),
        }
    }

    /// The redacted text; `None` if nothing matches.
    fn redacted(&self, text: &str) -> Option<(String, Redacted)> {
        if !self.may_find_in(text.as_bytes()) {
            return None;
        }
        json::rewrite(text, self).or_else(|| self.plain(text))
    }

    /// Returns `true` if a text of `before` bytes may become `after` bytes.
    fn may_become(before: usize, after: usize) -> bool {
        after <= before.saturating_mul(2).saturating_add(MOST_GROWTH)
    }

    fn plain(&self, text: &str) -> Option<(String, Redacted)> {
        let whole = || {
            let redacted = Redacted { values: 1, whole: 1 };
            Some((self.replacement.of("text", text), redacted))
        };
        let Ok(mut found) = self.find(text) else { return whole() };
        let mut layers = vec![Cow::Borrowed(text)];
        while layers.len() <= MOST_LAYERS
            && let Some(decoded) = layers.last().and_then(|text| escapes::decode(text))
        {
            let Ok(mut in_escapes) = self.find(&decoded) else { return whole() };
            for layer in layers.iter().rev() {
                escapes::locate(layer, in_escapes.iter_mut().map(|(range, _)| range));
            }
            found.append(&mut in_escapes);
            layers.push(Cow::Owned(decoded));
        }
        for (range, _) in &mut found {
            let after = escapes::end_after_backslash(text, range.start);
            range.start = after.filter(|at| *at < range.end).unwrap_or(range.start);
        }
        if found.len() > MOST_FOUND {
            return whole();
        }
        // The first of two overlapping matches gives the name, and both are replaced.
        found.sort_by_key(|(range, _)| (range.start, Reverse(range.end)));
        let mut out = String::new();
        let mut copied = 0;
        let mut found = found.into_iter().peekable();
        while let Some((mut range, name)) = found.next() {
            while let Some((next, _)) = found.next_if(|(next, _)| next.start < range.end) {
                range.end = range.end.max(next.end);
            }
            out.push_str(text.get(copied..range.start).unwrap_or_default());
            let original = text.get(range.clone()).unwrap_or_default();
            out.push_str(&self.replacement.of(name, original));
            copied = range.end;
            if !Self::may_become(text.len(), out.len()) {
                return whole();
            }
        }
        if copied == 0 {
            return None;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Some((out, Redacted::ONE))
    }

    /// The matches in a text, with their names. Stops one after the limit.
    fn find(&self, text: &str) -> Result<Vec<(TextRange, &str)>, TooMuchWork> {
        let mut found = Vec::new();
        let mut add = |range, name| {
            if found.len() <= MOST_FOUND {
                found.push((range, name));
            }
        };
        for finder in &self.finders {
            finder.find(text, &mut |range| add(range, finder.name.as_str()))?;
        }
        if !self.keys.is_empty() && keys::may_be_in(text) {
            keys::find(text, |key| self.hides(key), &mut |range| add(range, "key"));
        }
        Ok(found)
    }

    /// A number is replaced if a finder matches all of it: `4111111111111111` is a card.
    fn finds_in_number(&self, digits: &str) -> bool {
        let mut finds = false;
        for finder in &self.finders {
            let is_whole = finder.find(digits, &mut |range| finds |= range == (0..digits.len()));
            finds |= is_whole.is_err();
        }
        finds
    }

    /// Bytes with a match become empty, because their format is unknown.
    fn finds_in_bytes(&self, bytes: &[u8]) -> bool {
        self.redacted(&String::from_utf8_lossy(bytes)).is_some()
    }

    fn hides(&self, key: &str) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let lower = if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(key.to_ascii_lowercase())
        } else {
            Cow::Borrowed(key)
        };
        Pattern::any(&self.keys, &lower)
    }

    fn hide(&self, value: &str) -> String {
        self.replacement.of("key", value)
    }
}
