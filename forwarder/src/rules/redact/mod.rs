//! Redacts values. Keys, types and the structure of JSON stay.

mod card;
mod encoded;
mod escapes;
mod finder;
mod ip;
mod json;
mod keys;
mod needle;
mod search;

#[cfg(test)]
mod matrix;
#[cfg(test)]
mod tests;

pub(super) use finder::{Finder, PRESETS, Preset};
pub(super) use search::{InvalidPattern, compile};

use needle::{Letters, Needle};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use search::TooMuchWork;
use settings::Pattern;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::cmp::Reverse;
use wire::Depth;

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

/// JSON texts in strings of JSON. The text below is searched as plain text, because each level reads all texts in it again.
const TEXTS: Depth = Depth::new(4);

/// The attribute with fields of a JSON line that have no attribute of their own.
const REST: &str = "lambda_otlp.rest";

/// Counts of a redaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Redacted {
    /// Several matches in one value count once.
    pub(super) values: usize,
    /// Texts that were replaced whole because they needed too much searching or replacing.
    pub(super) whole: usize,
}

impl Redaction {
    pub(super) fn looks_into(&self, part: ItemPart) -> bool {
        self.parts.contains(&part)
    }

    /// Returns `false` if nothing can match in a request of these encoded bytes.
    pub(super) fn may_find_in_encoded(&self, bytes: &[u8]) -> bool {
        // A number has no letters, but may be a card.
        let may_be_number = self.finders.iter().any(|finder| !finder.has_needles());
        may_be_number || self.may_find_in(bytes)
    }

    /// Returns `false` if nothing can match in this text, or in text that it encodes.
    fn may_find_in(&self, text: &[u8]) -> bool {
        let letters = Letters::of(text);
        let finds = |finder: &Finder| finder.may_find_in(text, letters);
        self.has_own_keys
            || self.finders.iter().any(finds)
            || self.may_find_in_escapes(text, letters)
    }

    /// Returns `false` if nothing can match in text that this text encodes. JSON may encode letters as `\u` and a number; digits and
    /// punctuation have more encodings.
    fn may_find_in_escapes(&self, text: &[u8], letters: Letters) -> bool {
        let has_needles = |finder: &&Finder| finder.has_needles();
        let with_needles = self.finders.iter().filter(has_needles).count();
        with_needles > 0 && Needle::new("\\u").is_in(text, letters)
            || with_needles < self.finders.len() && escapes::may_hide_text(text, letters)
    }

    pub(super) fn attributes(
        &self,
        part: ItemPart,
        attributes: &mut [KeyValue],
        redacted: &mut Redacted,
    ) {
        if !self.looks_into(part) {
            return;
        }
        for attribute in attributes.iter_mut().filter(|it| self.is_meant(&it.key)) {
            self.key_value(attribute, false, redacted, Depth::OF_VALUES);
        }
    }

    fn is_meant(&self, key: &str) -> bool {
        let is_named = self.only.is_empty() || key == REST || Pattern::any(&self.only, key);
        is_named && !Pattern::any(&self.except, key)
    }

    /// Redacts the body of a log record. The body of a JSON line may repeat the value of a key such as `errorMessage`, which is
    /// hidden in both places.
    pub(super) fn body(
        &self,
        body: &mut AnyValue,
        attributes: &[KeyValue],
        redacted: &mut Redacted,
    ) {
        if !self.looks_into(ItemPart::Body) {
            return;
        }
        let hidden = match &body.value {
            Some(Value::StringValue(text)) if !self.keys.is_empty() && !text.is_empty() => {
                let mut attributes = attributes.iter();
                self.looks_into(ItemPart::Attributes)
                    && attributes.any(|KeyValue { key, value, .. }| {
                        self.is_meant(key)
                            && self.hides_in(
                                value.as_ref(),
                                text,
                                self.hides(key),
                                Depth::OF_VALUES,
                            )
                    })
            }
            _ => false,
        };
        self.any_value(body, hidden, redacted, Depth::OF_VALUES);
    }

    /// Returns `true` if this text is a hidden value, or is in one. `hidden` is `true` if the value's key is hidden.
    fn hides_in(&self, value: Option<&AnyValue>, text: &str, hidden: bool, depth: Depth) -> bool {
        let Some(depth) = depth.below() else { return true };
        match value.and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(value)) => hidden && value == text,
            Some(Value::ArrayValue(array)) => {
                array.values.iter().any(|value| self.hides_in(Some(value), text, hidden, depth))
            }
            Some(Value::KvlistValue(list)) => {
                list.values.iter().any(|KeyValue { key, value, .. }| {
                    self.hides_in(value.as_ref(), text, hidden || self.hides(key), depth)
                })
            }
            _ => false,
        }
    }

    pub(super) fn text(&self, part: ItemPart, text: &mut String, redacted: &mut Redacted) {
        if self.looks_into(part) {
            self.string(text, false, redacted);
        }
    }

    fn key_value(
        &self,
        attribute: &mut KeyValue,
        hidden: bool,
        redacted: &mut Redacted,
        depth: Depth,
    ) {
        let hidden = hidden || self.hides(&attribute.key);
        if let Some(value) = &mut attribute.value {
            self.any_value(value, hidden, redacted, depth);
        }
    }

    /// Redacts a value and those in it.
    fn any_value(&self, value: &mut AnyValue, hidden: bool, redacted: &mut Redacted, depth: Depth) {
        let Some(depth) = depth.below() else {
            value.value = None;
            redacted.whole += 1;
            return;
        };
        match &mut value.value {
            Some(Value::StringValue(text)) => self.string(text, hidden, redacted),
            Some(Value::IntValue(number)) if self.hides_number(&number.to_string(), hidden) => {
                *number = 0;
                redacted.values += 1;
            }
            Some(Value::DoubleValue(number)) if hidden => {
                *number = 0.0;
                redacted.values += 1;
            }
            // Bytes with a match become empty, because their format is unknown.
            Some(Value::BytesValue(bytes))
                if self.replaced(&String::from_utf8_lossy(bytes), hidden, TEXTS).is_some() =>
            {
                bytes.clear();
                redacted.values += 1;
            }
            Some(Value::ArrayValue(array)) => {
                for value in &mut array.values {
                    self.any_value(value, hidden, redacted, depth);
                }
            }
            Some(Value::KvlistValue(list)) => {
                for attribute in &mut list.values {
                    self.key_value(attribute, hidden, redacted, depth);
                }
            }
            _ => {}
        }
    }

    fn string(&self, text: &mut String, hidden: bool, redacted: &mut Redacted) {
        let replaced = self.replaced(text, hidden, TEXTS);
        if let Some((new, whole)) = replaced.filter(|(new, _)| new != text) {
            *text = new;
            redacted.values += 1;
            redacted.whole += whole;
        }
    }

    /// The text in place of this one, and the number of texts in it that were replaced whole; `None` if nothing matches.
    fn replaced(&self, text: &str, hidden: bool, texts: Depth) -> Option<(String, usize)> {
        if hidden {
            return Some((self.replacement.of("key", text), 0));
        }
        if !self.may_find_in(text.as_bytes()) {
            return None;
        }
        let inner = texts.below();
        inner.and_then(|inner| json::rewrite(text, self, inner)).or_else(|| self.plain(text))
    }

    /// Returns `true` if a text of `before` bytes may become `after` bytes.
    fn may_become(before: usize, after: usize) -> bool {
        after <= before.saturating_mul(2).saturating_add(MOST_GROWTH)
    }

    fn plain(&self, text: &str) -> Option<(String, usize)> {
        let whole = || Some((self.replacement.of("text", text), 1));
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
        Some((out, 0))
    }

    /// The matches in a text, with their names. Stops one after the limit.
    fn find(&self, text: &str) -> Result<Vec<(TextRange, &str)>, TooMuchWork> {
        let mut found = Vec::new();
        let mut add = |range, name| {
            if found.len() <= MOST_FOUND {
                found.push((range, name));
            }
        };
        let bytes = text.as_bytes();
        let letters = Letters::of(bytes);
        for finder in self.finders.iter().filter(|finder| finder.may_find_in(bytes, letters)) {
            finder.find(text, &mut |range| add(range, finder.name.as_str()))?;
        }
        if !self.keys.is_empty() && keys::may_be_in(text) {
            keys::find(text, |key| self.hides(key), &mut |range| add(range, "key"));
        }
        Ok(found)
    }

    /// A number other than 0 becomes 0 if its key is hidden or a finder matches all of it: `4111111111111111` is a card.
    fn hides_number(&self, digits: &str, hidden: bool) -> bool {
        let bytes = digits.as_bytes();
        let letters = Letters::of(bytes);
        let is_found_by = |finder: &Finder| {
            if !finder.may_find_in(bytes, letters) {
                return false;
            }
            let mut is_found = false;
            let all = finder.find(digits, &mut |range| is_found |= range == (0..digits.len()));
            is_found || all.is_err()
        };
        digits != "0" && (hidden || self.finders.iter().any(is_found_by))
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
}
