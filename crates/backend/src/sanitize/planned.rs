//! The attributes of a shape as the rules about keys and types plan them: what each is called and in which form its value is written.
//!
//! A plan reads no value but for the few facts of [`Class`] and [`Planned`], so that it holds for all items of the shape.

use super::gen_ai;
use super::names::stored_key;
use super::taken_columns::{ColumnVerdict, JUDGED_LEVELS, TakenColumns};
use super::text_values::has_text_values;
use super::typed_columns::NUMBER;
use std::borrow::Cow;
use wire::field::key_value;
use wire::protobuf::{Value, Writer, fields};
use wire::reserved::RENAMED_PREFIX;
use wire::view::{key_and_value, map_entries};

/// An attribute, or an entry of a map, as it was read.
#[derive(Clone, Copy)]
pub(super) struct ReadAttribute<'a> {
    /// The encoded attribute; empty for one that a rule adds.
    pub(super) encoded: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> ReadAttribute<'a> {
    pub(super) fn read(encoded: &'a [u8]) -> Self {
        let (key, value) = key_and_value(encoded);
        Self { encoded, key, value }
    }

    pub(super) fn write(&self, out: &mut Writer<'_>, number: u32) {
        if !self.encoded.is_empty() {
            return out.always_bytes(number, self.encoded);
        }
        out.message(number, |pair| {
            pair.always_bytes(key_value::KEY, self.key);
            pair.always_bytes(key_value::VALUE, self.value);
        });
    }

    pub(super) fn is_added(&self, key: &str) -> bool {
        self.encoded.is_empty() && self.key == key.as_bytes()
    }

    /// An attribute that a rule adds.
    pub(super) fn added(key: &'static str, value: &'a [u8]) -> Self {
        Self { encoded: &[], key: key.as_bytes(), value }
    }
}

/// The class of a value: all that the rules ask about most values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// No value, or one unknown to OTLP 1.
    Empty,
    Text,
    Bool,
    Int,
    /// A whole number that a fraction can't hold.
    LargeInt,
    Double,
    /// NaN or infinity, which JSON lacks.
    NotFinite,
    Bytes,
    Array,
    /// An array with values that JSON lacks.
    ArrayWithOthers,
    Map,
}

impl Class {
    #[inline]
    pub(super) fn read(value: &[u8]) -> Self {
        match Self::read_without_elements(value) {
            Self::Array if has_text_values(value) => Self::ArrayWithOthers,
            class => class,
        }
    }

    /// The class without a look into arrays.
    #[inline]
    pub(super) fn read_without_elements(value: &[u8]) -> Self {
        // The first byte has the number and the type of the value's field.
        match value {
            [0x0a, ..] => Self::Text,
            [0x10, ..] => Self::Bool,
            // Up to seven bytes of a varint hold less than 2^53.
            [0x18, digits @ ..] if digits.len() <= 7 || is_exact(value) => Self::Int,
            [0x18, ..] => Self::LargeInt,
            [0x21, _, _, _, _, _, _, exponent, sign, ..] => {
                // The last two bytes have the exponent, whose bits are all set if the number isn't finite.
                let is_finite = *exponent < 0xf0 || sign & 0x7f != 0x7f;
                if is_finite { Self::Double } else { Self::NotFinite }
            }
            [0x2a, ..] => Self::Array,
            [0x32, ..] => Self::Map,
            [0x3a, ..] => Self::Bytes,
            _ => Self::Empty,
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::LargeInt | Self::Double)
    }
}

/// Returns `true` if a fraction holds the whole number of a value.
#[cold]
fn is_exact(value: &[u8]) -> bool {
    match fields(value).next().map(|field| field.value) {
        Some(Value::Varint(number)) => number.cast_signed().unsigned_abs() <= 1 << 53,
        _ => false,
    }
}

/// The form in which a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Unchanged,
    /// What JSON lacks becomes text, also within arrays.
    WithTexts,
    /// A Boolean or number becomes text.
    Text,
    /// A number becomes a fraction.
    Number,
}

/// An attribute, or an entry of a map, as a rule plans it.
#[derive(Clone, Debug)]
pub(super) struct Planned<'a> {
    pub(super) key: Cow<'a, str>,
    /// Its place among the attributes, or the entries, that were read.
    pub(super) source: usize,
    pub(super) class: Class,
    pub(super) form: Form,
    /// The entries of a map.
    pub(super) entries: Vec<Self>,
    /// The column in which the resource has the same value.
    pub(super) repeated_column: Option<Box<[u8]>>,
    /// `true` if the number that became text has a further column.
    pub(super) adds_number: bool,
    /// `true` if OpenObserve reads a number from the value, under one of the keys for which that matters.
    pub(super) reads_as_number: bool,
    pub(super) is_renamed: bool,
}

impl<'a> Planned<'a> {
    /// The attributes of an item whose resource has taken columns, as they were read.
    pub(super) fn read_all(
        attributes: &[ReadAttribute<'a>],
        taken: &TakenColumns<'_>,
    ) -> Vec<Self> {
        let read = |(source, attribute): (usize, &ReadAttribute<'a>)| {
            let ReadAttribute { key, value, .. } = *attribute;
            Self::read(source, key, value, Some((&[], taken)), JUDGED_LEVELS)
        };
        attributes.iter().enumerate().map(read).collect()
    }

    /// Attributes that have no columns of a resource beside them, as they were read.
    pub(super) fn read_all_alone(attributes: &[ReadAttribute<'a>]) -> Vec<Self> {
        let read = |(source, attribute): (usize, &ReadAttribute<'a>)| {
            Self::read_alone(source, attribute.key, attribute.value)
        };
        attributes.iter().enumerate().map(read).collect()
    }

    /// A value that has no columns of a resource beside it.
    pub(super) fn read_alone(source: usize, key: &'a [u8], value: &'a [u8]) -> Self {
        Self::read(source, key, value, None, 0)
    }

    fn read(
        source: usize,
        key: &'a [u8],
        value: &'a [u8],
        beside: Option<(&[u8], &TakenColumns<'_>)>,
        levels: usize,
    ) -> Self {
        let beside = beside.filter(|_| levels > 0);
        let column = beside.map(|(path, _)| path.iter().copied().chain(stored_key(key)).collect());
        let column: Vec<u8> = column.unwrap_or_default();
        let is_repeated = beside.is_some_and(|(_, taken)| {
            taken.judge_column(&column, value) == ColumnVerdict::Repeated
        });
        let class = Class::read(value);
        let path = [&*column, b"_"].concat();
        let within = beside.map(|(_, taken)| (&*path, taken));
        let entry = |(source, encoded)| {
            let (key, value) = key_and_value(encoded);
            Self::read(source, key, value, within, levels.saturating_sub(1))
        };
        Self {
            key: String::from_utf8_lossy(key),
            source,
            class,
            form: Form::Unchanged,
            entries: map_entries(value).enumerate().map(entry).collect(),
            repeated_column: is_repeated.then(|| column.into()),
            adds_number: false,
            reads_as_number: gen_ai::reads_as_number(key, value),
            is_renamed: false,
        }
    }

    /// Number of attributes and entries.
    pub(super) fn count(&self) -> usize {
        1 + self.entries.iter().map(Self::count).sum::<usize>()
    }

    pub(super) fn is_map(&self) -> bool {
        self.class == Class::Map
    }

    pub(super) fn rename(&mut self, key: String) {
        self.key = Cow::Owned(key);
        self.is_renamed = true;
    }

    /// Leaves its name to another attribute.
    pub(super) fn make_room(&mut self) {
        self.rename(format!("{RENAMED_PREFIX}{}", self.key));
    }

    /// Another attribute for the same value, with this end of its name.
    pub(super) fn with_end(&self, end: &str, class: Class, form: Form) -> Self {
        Self {
            key: Cow::Owned(format!("{}{end}", self.key)),
            source: self.source,
            class,
            form,
            entries: Vec::new(),
            repeated_column: None,
            adds_number: false,
            reads_as_number: false,
            is_renamed: true,
        }
    }

    /// The further column of a number, if there is one.
    pub(super) fn added_number(&self) -> Option<Self> {
        self.adds_number.then(|| self.with_end(NUMBER, Class::Double, Form::Number))
    }

    /// The same for all items of the shape.
    pub(super) fn into_owned(self) -> Planned<'static> {
        let Self { key, source, class, form, entries, repeated_column, adds_number, .. } = self;
        Planned {
            key: Cow::Owned(key.into_owned()),
            source,
            class,
            form,
            entries: entries.into_iter().map(Self::into_owned).collect(),
            repeated_column,
            adds_number,
            reads_as_number: self.reads_as_number,
            is_renamed: self.is_renamed,
        }
    }

    /// Returns `true` if the attribute and all in it are written as they were read.
    pub(super) fn is_unchanged(&self) -> bool {
        self.form == Form::Unchanged && !self.is_renamed && are_unchanged(&self.entries)
    }
}

/// Returns `true` if attributes are those that were read.
pub(super) fn are_unchanged(planned: &[Planned<'_>]) -> bool {
    planned.iter().all(Planned::is_unchanged)
}
