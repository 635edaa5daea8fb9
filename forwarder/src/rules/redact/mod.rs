//! Redacts values. Keys, types and the structure of JSON stay.

mod card;
mod escapes;
mod finder;
mod ip;
mod item;
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

/// A part of a text to replace.
struct Match<'n> {
    range: TextRange,
    /// The name of its finder, or `key`.
    name: &'n str,
}

/// A text in place of another one.
struct ReplacedText {
    text: String,
    /// Number of texts in it that were replaced whole because they needed too much searching or replacing.
    whole: usize,
}

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
pub(super) const MAX_REPLACEMENT: usize = 200;

/// A text may double and grow by this many bytes. If many short matches would grow it more, the text is replaced whole.
pub(super) const MAX_GROWTH: usize = 256;

/// With more matches than this, a text is replaced whole.
const MAX_FOUND: usize = 10_000;

/// Number of decoding passes, for example two for a percent-encoded JSON string.
const MAX_LAYERS: usize = 2;

/// Levels of JSON texts in strings of JSON. The text below is searched as plain text, because each level reads all texts in it
/// again.
const JSON_LEVELS: Depth = Depth::new(4);

/// The attribute with fields of a JSON line that have no attribute of their own.
const REST: &str = "lambda_otlp.rest";

/// Counts of a redaction. Without a counted value, nothing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Redacted {
    /// Several matches in one value count once.
    values: usize,
    /// Texts in these values that were replaced whole because they needed too much searching or replacing.
    whole: usize,
}

impl Redacted {
    pub(super) fn values(self) -> usize {
        self.values
    }

    pub(super) fn whole(self) -> usize {
        self.whole
    }

    /// Counts a redacted value, and the texts in it that were replaced whole.
    fn count_value(&mut self, whole: usize) {
        self.values += 1;
        self.whole += whole;
    }
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
        for attribute in attributes.iter_mut().filter(|it| self.includes_key(&it.key)) {
            self.key_value(attribute, false, redacted, Depth::OF_VALUES);
        }
    }

    /// Returns `true` if attributes with this key are redacted.
    fn includes_key(&self, key: &str) -> bool {
        let is_included =
            self.only.is_empty() || key == REST || Pattern::any_matches(&self.only, key);
        is_included && !Pattern::any_matches(&self.except, key)
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
        let is_hidden = match &body.value {
            Some(Value::StringValue(text)) => self.hides_text(text, attributes),
            _ => false,
        };
        self.any_value(body, is_hidden, redacted, Depth::OF_VALUES);
    }

    /// Returns `true` if a text is the value of a hidden key in these attributes.
    fn hides_text(&self, text: &str, attributes: &[KeyValue]) -> bool {
        if self.keys.is_empty() || text.is_empty() || !self.looks_into(ItemPart::Attributes) {
            return false;
        }
        let mut included = attributes.iter().filter(|it| self.includes_key(&it.key));
        included.any(|KeyValue { key, value, .. }| {
            self.hides_in(value.as_ref(), text, self.hides(key), Depth::OF_VALUES)
        })
    }

    /// Returns `true` if this text is a hidden value, or is in one. `is_hidden` is `true` if the value's key is hidden.
    fn hides_in(
        &self,
        value: Option<&AnyValue>,
        text: &str,
        is_hidden: bool,
        depth: Depth,
    ) -> bool {
        let Some(depth) = depth.below() else { return true };
        match value.and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(value)) => is_hidden && value == text,
            Some(Value::ArrayValue(array)) => {
                array.values.iter().any(|value| self.hides_in(Some(value), text, is_hidden, depth))
            }
            Some(Value::KvlistValue(list)) => {
                list.values.iter().any(|KeyValue { key, value, .. }| {
                    self.hides_in(value.as_ref(), text, is_hidden || self.hides(key), depth)
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

    /// Redacts the value of an attribute. `is_hidden` is `true` if a key above it is hidden.
    fn key_value(
        &self,
        attribute: &mut KeyValue,
        is_hidden: bool,
        redacted: &mut Redacted,
        depth: Depth,
    ) {
        let is_value_hidden = is_hidden || self.hides(&attribute.key);
        if let Some(value) = &mut attribute.value {
            self.any_value(value, is_value_hidden, redacted, depth);
        }
    }

    /// Redacts a value and those in it. `is_hidden` is `true` if its key is hidden.
    fn any_value(
        &self,
        value: &mut AnyValue,
        is_hidden: bool,
        redacted: &mut Redacted,
        depth: Depth,
    ) {
        let Some(depth) = depth.below() else {
            value.value = None;
            redacted.count_value(1);
            return;
        };
        match &mut value.value {
            Some(Value::StringValue(text)) => self.string(text, is_hidden, redacted),
            Some(Value::IntValue(number)) if self.hides_number(&number.to_string(), is_hidden) => {
                *number = 0;
                redacted.count_value(0);
            }
            Some(Value::DoubleValue(number)) if is_hidden => {
                *number = 0.0;
                redacted.count_value(0);
            }
            // Bytes with a match become empty, because their format is unknown.
            Some(Value::BytesValue(bytes))
                if self
                    .replaced(&String::from_utf8_lossy(bytes), is_hidden, JSON_LEVELS)
                    .is_some() =>
            {
                bytes.clear();
                redacted.count_value(0);
            }
            Some(Value::ArrayValue(array)) => {
                for value in &mut array.values {
                    self.any_value(value, is_hidden, redacted, depth);
                }
            }
            Some(Value::KvlistValue(list)) => {
                for attribute in &mut list.values {
                    self.key_value(attribute, is_hidden, redacted, depth);
                }
            }
            _ => {}
        }
    }

    fn string(&self, text: &mut String, is_hidden: bool, redacted: &mut Redacted) {
        let replaced = self.replaced(text, is_hidden, JSON_LEVELS);
        if let Some(replaced) = replaced.filter(|replaced| replaced.text != *text) {
            *text = replaced.text;
            redacted.count_value(replaced.whole);
        }
    }

    /// The text in place of this one; `None` if nothing matches. `json_levels` limits JSON in strings of JSON.
    fn replaced(&self, text: &str, is_hidden: bool, json_levels: Depth) -> Option<ReplacedText> {
        if is_hidden {
            return Some(ReplacedText { text: self.replacement.of("key", text), whole: 0 });
        }
        if !self.may_find_in(text.as_bytes()) {
            return None;
        }
        let as_json = json_levels.below().and_then(|levels| json::rewrite(text, self, levels));
        as_json.or_else(|| self.replaced_as_plain_text(text))
    }

    /// Returns `true` if a text of `before` bytes may become `after` bytes.
    fn may_become(before: usize, after: usize) -> bool {
        after <= before.saturating_mul(2).saturating_add(MAX_GROWTH)
    }

    fn replaced_as_plain_text(&self, text: &str) -> Option<ReplacedText> {
        let replaced = self.find_in_layers(text).and_then(|found| self.replace(text, found));
        match replaced {
            Ok(replaced) => replaced.map(|text| ReplacedText { text, whole: 0 }),
            Err(TooMuchWork) => {
                Some(ReplacedText { text: self.replacement.of("text", text), whole: 1 })
            }
        }
    }

    /// The matches in a text and in its escapes.
    fn find_in_layers(&self, text: &str) -> Result<Vec<Match<'_>>, TooMuchWork> {
        let mut found = self.find(text)?;
        // The text, and what its escapes stand for.
        let mut layers = vec![Cow::Borrowed(text)];
        while layers.len() <= MAX_LAYERS
            && let Some(decoded) = layers.last().and_then(|layer| escapes::decode(layer))
        {
            let mut in_escapes = self.find(&decoded)?;
            for layer in layers.iter().rev() {
                escapes::locate(layer, in_escapes.iter_mut().map(|it| &mut it.range));
            }
            found.append(&mut in_escapes);
            layers.push(Cow::Owned(decoded));
        }
        for Match { range, .. } in &mut found {
            let after = escapes::end_after_backslash(text, range.start);
            range.start = after.filter(|at| *at < range.end).unwrap_or(range.start);
        }
        Ok(found)
    }

    /// The text with replaced matches; `None` if there are none.
    fn replace(
        &self,
        text: &str,
        mut found: Vec<Match<'_>>,
    ) -> Result<Option<String>, TooMuchWork> {
        if found.len() > MAX_FOUND {
            return Err(TooMuchWork);
        }
        // The first of two overlapping matches gives the name, and both are replaced.
        found.sort_by_key(|it| (it.range.start, Reverse(it.range.end)));
        let mut out = String::new();
        let mut copied = 0;
        let mut matches = found.into_iter().peekable();
        while let Some(Match { mut range, name }) = matches.next() {
            while let Some(next) = matches.next_if(|next| next.range.start < range.end) {
                range.end = range.end.max(next.range.end);
            }
            out.push_str(text.get(copied..range.start).unwrap_or_default());
            let original = text.get(range.clone()).unwrap_or_default();
            out.push_str(&self.replacement.of(name, original));
            copied = range.end;
            if !Self::may_become(text.len(), out.len()) {
                return Err(TooMuchWork);
            }
        }
        if copied == 0 {
            return Ok(None);
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Ok(Some(out))
    }

    /// The matches in a text. Stops one after the limit.
    fn find(&self, text: &str) -> Result<Vec<Match<'_>>, TooMuchWork> {
        let mut found = Vec::new();
        let mut add = |range, name| {
            if found.len() <= MAX_FOUND {
                found.push(Match { range, name });
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
    fn hides_number(&self, digits: &str, is_hidden: bool) -> bool {
        let bytes = digits.as_bytes();
        let letters = Letters::of(bytes);
        let is_found_by = |finder: &Finder| {
            // A number that needs too much searching is hidden too.
            finder.may_find_in(bytes, letters) && finder.matches_whole(digits).unwrap_or(true)
        };
        digits != "0" && (is_hidden || self.finders.iter().any(is_found_by))
    }

    /// Returns `true` if the values of this key are replaced whole.
    fn hides(&self, key: &str) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let lower = if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(key.to_ascii_lowercase())
        } else {
            Cow::Borrowed(key)
        };
        Pattern::any_matches(&self.keys, &lower)
    }
}
