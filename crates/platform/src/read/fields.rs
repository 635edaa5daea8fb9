//! Reads JSON objects and arrays one level deep: fields in order, values unparsed.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// An object with more keys is data rather than a log record or an event, and is not read.
pub(crate) const MAX_KEYS: usize = 1024;

/// The fields of an object, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) pairs: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The fields before the end of an object that was cut, or whose text goes on after it.
    pub(crate) fn before_cut(text: &'a str) -> Self {
        let mut fields = Self { pairs: Vec::new() };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let visitor = FieldsVisitor { pairs: &mut fields.pairs };
        // The error is the cut.
        _ = deserializer.deserialize_map(visitor);
        fields
    }

    /// Returns `true` if no key occurs twice.
    pub(crate) fn has_unique_keys(&self) -> bool {
        let mut keys: Vec<&str> = self.pairs.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        keys.is_sorted_by(|before, key| before < key)
    }

    /// The value of a key, or the first of several.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| *value)
    }

    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text_of(self.get(key)?)
    }
}

/// The value if it is a string.
pub(crate) fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let content = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if !content.contains('\\') {
        return Some(Cow::Borrowed(content));
    }
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Self { pairs: Vec::new() };
        deserializer.deserialize_map(FieldsVisitor { pairs: &mut fields.pairs })?;
        Ok(fields)
    }
}

/// Keeps the fields before a JSON error.
struct FieldsVisitor<'v, 'a> {
    pairs: &'v mut Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object of at most {MAX_KEYS} keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some((JsonKey(key), value)) = map.next_entry()? {
            if self.pairs.len() == MAX_KEYS {
                return Err(A::Error::custom("too many keys"));
            }
            self.pairs.push((key, value));
        }
        Ok(())
    }
}

/// A key, copied only if it has escapes. Serde itself would always copy a `Cow`.
#[derive(Deserialize)]
pub(crate) struct JsonKey<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

#[derive(Default)]
pub(crate) struct Elements<'a> {
    pub(crate) values: Vec<&'a RawValue>,
    /// Number of further elements, beyond the limit.
    pub(crate) others: usize,
    /// `true` if invalid JSON follows them.
    pub(crate) is_broken: bool,
}

impl<'a> Elements<'a> {
    /// The elements of a text that begins as an array; none for other texts.
    pub(crate) fn of(text: &'a str) -> Self {
        Self::first_of(text, usize::MAX)
    }

    /// Like [`Self::of`], with at most this many elements: a short one takes eight times its size here.
    pub(crate) fn first_of(text: &'a str, most: usize) -> Self {
        let mut elements = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer.deserialize_seq(ElementsVisitor { elements: &mut elements, most });
        elements.is_broken = read.and_then(|()| deserializer.end()).is_err();
        elements
    }
}

/// Keeps the elements before a JSON error. A `Vec` returned by serde would be dropped there.
struct ElementsVisitor<'v, 'a> {
    elements: &'v mut Elements<'a>,
    most: usize,
}

impl<'de> Visitor<'de> for ElementsVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element()? {
            if self.elements.values.len() < self.most {
                self.elements.values.push(value);
            } else {
                self.elements.others += 1;
            }
        }
        Ok(())
    }
}

/// The last millisecond accepted by [`of_millis`]: the end of 2553.
pub(crate) const MAX_MS: f64 = 18_429_206_399_999.0;

/// Converts milliseconds from 0 to [`MAX_MS`] to Unix time in nanoseconds, exact to the microsecond.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from float saturate, and the value is bounded"
)]
pub(crate) fn of_millis(ms: f64) -> u64 {
    // A float represents microseconds since 1970 exactly, but not nanoseconds.
    ((ms.clamp(0.0, MAX_MS) * 1000.0).round() as u64) * 1000
}
