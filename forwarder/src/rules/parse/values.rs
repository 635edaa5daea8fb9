//! Values of a rules file: texts, words of a fixed set, and lists.

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, Deserializer, Error, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use settings::Pattern;
use std::fmt;
use std::marker::PhantomData;

/// A value, a list of values, or a table.
pub(super) enum Shape<T, M> {
    List(Vec<T>),
    Table(M),
}

impl<'de, T: Deserialize<'de>, M: Deserialize<'de>> Deserialize<'de> for Shape<T, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor(PhantomData))
    }
}

struct ShapeVisitor<T, M>(PhantomData<(T, M)>);

fn one<'de, T: Deserialize<'de>, M, D: Deserializer<'de>>(
    value: D,
) -> Result<Shape<T, M>, D::Error> {
    T::deserialize(value).map(|value| Shape::List(vec![value]))
}

impl<'de, T: Deserialize<'de>, M: Deserialize<'de>> Visitor<'de> for ShapeVisitor<T, M> {
    type Value = Shape<T, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a table")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        one(text.into_deserializer())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        one(value.into_deserializer())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        one(number.into_deserializer())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        one(number.into_deserializer())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        one(number.into_deserializer())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        if values.is_empty() {
            Err(Error::custom("the list is empty"))
        } else {
            Ok(Shape::List(values))
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(Shape::Table)
    }
}

/// Reads a table only. For a list, serde would take the values for the fields in their order.
pub(super) fn table<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    deserializer.deserialize_map(TableVisitor { expected, table: PhantomData })
}

struct TableVisitor<T> {
    expected: &'static str,
    table: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A value, or a list of values.
pub(super) struct List<T>(pub(super) Vec<T>);

enum NoTable {}

impl<'de> Deserialize<'de> for NoTable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(Error::custom("expected a value or a list of values, found a table"))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Shape::<T, NoTable>::deserialize(deserializer)? {
            Shape::List(values) => Ok(Self(values)),
            Shape::Table(none) => match none {},
        }
    }
}

impl List<Text> {
    pub(super) fn patterns(&self) -> Vec<Pattern> {
        self.0.iter().map(|Text(text)| Pattern::new(text)).collect()
    }
}

impl<T: Copy> List<Known<T>> {
    pub(super) fn words(&self) -> Vec<T> {
        self.0.iter().map(|Known(word)| *word).collect()
    }
}

/// A text that is not empty.
#[derive(PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text(pub(super) String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() { Err("expected a string that is not empty") } else { Ok(Self(text)) }
    }
}

/// A type whose values have names. The case of their letters does not matter.
pub(super) trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

pub(super) struct Known<T>(pub(super) T);

impl<'de, T: Word> Deserialize<'de> for Known<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = T::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        found.map(|(_, value)| Self(*value)).ok_or_else(|| {
            let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
            Error::custom(format!("`{text}` is unknown, expected one of {}", words.join(", ")))
        })
    }
}
