//! Reads a key of a JSON object without copying it.

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use std::fmt;

/// Looks a key up without copying it.
pub(crate) struct KeyIn<F>(pub(crate) F);

impl<'de, T, F: FnOnce(&str) -> Option<T>> DeserializeSeed<'de> for KeyIn<F> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for KeyIn<F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<T>, E> {
        Ok((self.0)(key))
    }
}
