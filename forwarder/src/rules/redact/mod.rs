//! Replaces what must not leave: in values, never in keys, and so that JSON stays JSON and a type
//! stays what it is.

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
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// Where something was found in a text, in bytes.
type Found = std::ops::Range<usize>;

/// A part of the telemetry that a redaction may look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
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

impl Part {
    /// The parts by the names that they have in a rules file.
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

    /// All but the span's name, which is what spans are grouped by.
    pub(super) fn default_parts() -> Vec<Self> {
        Self::NAMED.iter().map(|(_, part)| *part).filter(|part| *part != Self::Name).collect()
    }
}

/// What is put in the place of what was found.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    /// Text; `{name}` and `{hash}` stand for what was found.
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

/// What to look for, where, and what to put there instead.
#[derive(Clone, Debug)]
pub(super) struct Redaction {
    pub(super) finders: Vec<Finder>,
    /// The values of these keys are replaced whole; in small letters.
    pub(super) keys: Vec<Pattern>,
    /// Whether some of the keys are the user's own: those of presets have a needle.
    pub(super) has_own_keys: bool,
    /// If any are named: of the attributes only these.
    pub(super) only: Vec<Pattern>,
    /// Never these attributes.
    pub(super) except: Vec<Pattern>,
    pub(super) parts: Vec<Part>,
    pub(super) replacement: Replacement,
}

/// Longest replacement, in bytes: an item may have very many texts.
pub(super) const MOST_REPLACEMENT: usize = 200;

/// A text may become twice as long and so many bytes more. One that would become longer, as one of a thousand short finds and long
/// replacements does, is replaced whole.
pub(super) const MOST_GROWTH: usize = 256;

/// A text in which more is found is replaced whole.
const MOST_FOUND: usize = 10_000;

/// A text is decoded so many times, such as a percent-encoded string of JSON twice.
const MOST_LAYERS: usize = 2;

/// The attribute with those fields of a JSON line that got no attribute of their own. Any field may stand in it.
const REST: &str = "lambda_otlp.rest";

/// Deeper values than this are replaced whole.
const DEEPEST: usize = 100;

/// The number of replacements of a redaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Redacted {
    /// The number of changed values.
    pub(super) values: usize,
    /// The number of texts replaced whole, because they had too much to search or replace.
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
    pub(super) fn looks_into(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// False if nothing can be found in these bytes, which hold texts as they are.
    pub(super) fn may_find_in(&self, bytes: &[u8]) -> bool {
        self.has_own_keys || self.finders.iter().any(|finder| finder.may_find_in(bytes))
    }

    /// Redacts the values of attributes.
    pub(super) fn attributes(&self, part: Part, attributes: &mut [KeyValue]) -> Redacted {
        if !self.looks_into(part) {
            return Redacted::default();
        }
        let is_meant = |key: &str| {
            let is_named = self.only.is_empty() || key == REST || Pattern::any(&self.only, key);
            is_named && !Pattern::any(&self.except, key)
        };
        let meant = attributes.iter_mut().filter(|attribute| is_meant(&attribute.key));
        meant.map(|attribute| self.key_value(attribute, false, 0)).sum()
    }

    /// Redacts a value that has no key, such as a log record's body.
    pub(super) fn value(&self, part: Part, value: &mut AnyValue) -> Redacted {
        if self.looks_into(part) { self.any_value(value, false, 0) } else { Redacted::default() }
    }

    /// Redacts a text that is no attribute.
    pub(super) fn text(&self, part: Part, text: &mut String) -> Redacted {
        if self.looks_into(part) { self.string(text, false) } else { Redacted::default() }
    }

    fn key_value(&self, attribute: &mut KeyValue, hidden: bool, depth: usize) -> Redacted {
        let hidden = hidden || self.hides(&attribute.key);
        let value = attribute.value.as_mut();
        value.map(|value| self.any_value(value, hidden, depth + 1)).unwrap_or_default()
    }

    fn any_value(&self, value: &mut AnyValue, hidden: bool, depth: usize) -> Redacted {
        if depth > DEEPEST {
            let text = self.replacement.of("nested", "");
            value.value = Some(Value::StringValue(text));
            return Redacted::ONE;
        }
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
            Some(Value::BytesValue(bytes)) if hidden => {
                bytes.clear();
                Redacted::ONE
            }
            Some(Value::ArrayValue(array)) => {
                let values = array.values.iter_mut();
                values.map(|value| self.any_value(value, hidden, depth + 1)).sum()
            }
            Some(Value::KvlistValue(list)) => {
                let values = list.values.iter_mut();
                values.map(|attribute| self.key_value(attribute, hidden, depth + 1)).sum()
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
                // Several matches in one value count as one.
                Redacted { values: 1, ..redacted }
            }
            _ => Redacted::default(),
        }
    }

    /// The text without what must not leave; `None` if it may stay as it is.
    fn redacted(&self, text: &str) -> Option<(String, Redacted)> {
        if !self.may_find_in(text.as_bytes()) {
            return None;
        }
        match json::rewrite(text, self) {
            Some(rewritten) => Some((rewritten.text, rewritten.redacted)),
            None => self.plain(text),
        }
    }

    /// Returns `true` if a text of so many bytes may become one of so many.
    fn may_become(before: usize, after: usize) -> bool {
        after <= before.saturating_mul(2).saturating_add(MOST_GROWTH)
    }

    /// Replaces what is found in a text that is no JSON.
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
            let Ok(mut behind_escapes) = self.find(&decoded) else { return whole() };
            for layer in layers.iter().rev() {
                escapes::locate(layer, behind_escapes.iter_mut().map(|(range, _)| range));
            }
            found.append(&mut behind_escapes);
            layers.push(Cow::Owned(decoded));
        }
        for (range, _) in &mut found {
            let behind = escapes::end_behind_backslash(text, range.start);
            range.start = behind.filter(|at| *at < range.end).unwrap_or(range.start);
        }
        if found.len() > MOST_FOUND {
            return whole();
        }
        // Where two overlap, the one that begins first gives its name, and both are covered.
        found.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
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

    /// The matches in a text, with their names. At most one more than the number that may be replaced individually.
    fn find(&self, text: &str) -> Result<Vec<(Found, &str)>, TooMuchWork> {
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

    /// A number is replaced if it is all of what is found: `4111111111111111` is a card.
    fn finds_in_number(&self, digits: &str) -> bool {
        let mut finds = false;
        for finder in &self.finders {
            let is_whole = finder.find(digits, &mut |range| finds |= range == (0..digits.len()));
            finds |= is_whole.is_err();
        }
        finds
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
