//! The columns of log attributes: texts under the attribute's name, numbers again under `NAME_number`.
//!
//! A column of an OpenObserve log stream has one type, and OpenObserve 0.93-dev can hide all rows of a stream if a column gets values
//! of two. All functions share the columns, and one logs `took` as 12, another as `3 s`. So the name alone decides the type:
//!
//! - A column whose name has `number` as its last word has numbers with fractions, any other column has texts.
//! - A number or Boolean is text under its own name. A number is there again under `NAME_number`, unless the record has another
//!   attribute of that name.
//! - Under a name that ends in `number` itself, numbers stay. Everything else is text under `NAME_text`, and so are whole numbers
//!   that a fraction cannot hold.
//!
//! OpenObserve makes columns of the entries of maps, and texts of lists and of the entries of a body.

use super::limits::LOG_MAP_LEVELS;
use super::names::{stored_byte, stored_key};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use std::collections::HashSet;
use wire::field::{any_value, key_value};
use wire::protobuf::{Value as Field, Writer, fields};
use wire::view::{holds_map, key_and_value, map_entries};

/// The end of the names of columns with numbers.
pub(super) const NUMBER: &str = "_number";
const TEXT: &str = "_text";

/// Attributes, or the entries of a map that become columns.
#[derive(Clone, Copy)]
struct Level<'p> {
    /// The beginning of the columns' names.
    path: &'p [u8],
    /// Number of levels of maps whose entries have columns, from this one on.
    levels: usize,
    /// `true` if OpenObserve stores all values as text.
    are_texts: bool,
}

impl Level<'_> {
    const ATTRIBUTES: Self = Self { path: b"", levels: LOG_MAP_LEVELS, are_texts: false };
    const BODY: Self = Self { path: b"body_", levels: LOG_MAP_LEVELS - 1, are_texts: true };

    fn column(self, key: &str) -> Vec<u8> {
        self.path.iter().copied().chain(stored_key(key.as_bytes())).collect()
    }

    fn below(self, path: &[u8]) -> Level<'_> {
        Level { path, levels: self.levels - 1, ..self }
    }
}

/// The numbers of attributes that became text, by the positions of these attributes.
#[must_use]
pub(super) struct Numbers(Vec<(usize, f64)>);

impl Numbers {
    /// Adds a column for each number, by the present name of its attribute, except for those that are taken.
    pub(super) fn add_to(
        self,
        attributes: &mut Vec<KeyValue>,
        is_taken: impl Fn(&KeyValue) -> bool,
    ) {
        self.add(Level::ATTRIBUTES, attributes, is_taken);
    }

    fn add(
        self,
        level: Level<'_>,
        attributes: &mut Vec<KeyValue>,
        is_taken: impl Fn(&KeyValue) -> bool,
    ) {
        if self.0.is_empty() {
            return;
        }
        let own = number_columns(level, attributes);
        for (position, number) in self.0 {
            let Some(attribute) = attributes.get(position) else { continue };
            let added = with_end(&attribute.key, NUMBER, Value::DoubleValue(number));
            let column = level.column(&added.key);
            if !own.contains(&column) && !is_taken(&added) {
                attributes.push(added);
            }
        }
    }
}

/// Gives each value of a resource or record a column of its type. The numbers that this returns are to be added when all attributes
/// have their names.
pub(super) fn separate_types(attributes: &mut Vec<KeyValue>) -> Numbers {
    Numbers(separate(Level::ATTRIBUTES, attributes))
}

/// Gives each entry of a log record's body, which OpenObserve stores as text, a column of texts.
pub(super) fn separate_body(entries: &mut Vec<KeyValue>) {
    separate(Level::BODY, entries);
}

/// The columns of numbers that attributes have by their own names.
fn number_columns(level: Level<'_>, attributes: &[KeyValue]) -> HashSet<Vec<u8>> {
    let mut columns = HashSet::new();
    for attribute in attributes {
        let column = level.column(&attribute.key);
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::KvlistValue(map)) if level.levels > 1 => {
                let path = [&*column, b"_"].concat();
                columns.extend(number_columns(level.below(&path), &map.values));
            }
            _ if has_numbers(&column) => _ = columns.insert(column),
            _ => {}
        }
    }
    columns
}

/// Makes texts of all values but those under the names of columns with numbers. Returns the positions of those that were numbers.
fn separate(level: Level<'_>, attributes: &mut Vec<KeyValue>) -> Vec<(usize, f64)> {
    let mut numbers = Vec::new();
    let mut texts = Vec::new();
    for (position, attribute) in attributes.iter_mut().enumerate() {
        let column = level.column(&attribute.key);
        let Some(AnyValue { value: Some(value) }) = &mut attribute.value else { continue };
        if let Value::KvlistValue(map) = value
            && level.levels > 1
        {
            let path = [&*column, b"_"].concat();
            let below = level.below(&path);
            let numbers = Numbers(separate(below, &mut map.values));
            numbers.add(below, &mut map.values, |_| false);
            continue;
        }
        let Typed { text, number } = Typed::of(value);
        let number = number.filter(|_| !level.are_texts);
        if has_numbers(&column) {
            if let Some(number) = number {
                let before = std::mem::replace(value, Value::DoubleValue(number));
                if let (Value::IntValue(digits), Some(text)) = (before, text)
                    && !is_exact(digits)
                {
                    texts.push(with_end(&attribute.key, TEXT, Value::StringValue(text)));
                }
                continue;
            }
            attribute.key.push_str(TEXT);
        }
        if let Some(text) = text.filter(|_| !level.are_texts) {
            *value = Value::StringValue(text);
        }
        numbers.extend(number.map(|number| (position, number)));
    }
    attributes.append(&mut texts);
    numbers
}

/// Returns `true` for the name of a column with numbers: its last word is `number`. A renamed key keeps its last word.
fn has_numbers(column: &[u8]) -> bool {
    column.ends_with(NUMBER.as_bytes())
        || NUMBER.strip_prefix('_').map(str::as_bytes) == Some(column)
}

fn with_end(key: &str, end: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: format!("{key}{end}"), value, ..KeyValue::default() }
}

/// Returns `true` if a fraction holds this whole number.
fn is_exact(number: i64) -> bool {
    number.unsigned_abs() <= 1 << 53
}

/// The text and the number of a value, as far as it is not text already and has any.
#[derive(Default)]
struct Typed {
    text: Option<String>,
    number: Option<f64>,
}

impl Typed {
    fn of(value: &Value) -> Self {
        match value {
            Value::BoolValue(is_true) => Self { text: Some(is_true.to_string()), number: None },
            #[expect(clippy::cast_precision_loss, reason = "the text has all digits")]
            Value::IntValue(number) => {
                Self { text: Some(number.to_string()), number: Some(*number as f64) }
            }
            Value::DoubleValue(number) => {
                Self { text: Some(fraction_text(*number)), number: Some(*number) }
            }
            _ => Self::default(),
        }
    }
}

/// Writes a number as OpenObserve writes those of spans, but those with many zeros in the short form.
fn fraction_text(number: f64) -> String {
    let is_short = number == 0.0 || (1e-7..1e17).contains(&number.abs());
    if is_short { number.to_string() } else { format!("{number:e}") }
}

/// What the rule changes in a value of an encoded attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncodedChange {
    Nothing,
    /// The value becomes text.
    Text,
    /// The value becomes text, and is a number in a further column.
    TextAndNumber,
    /// Only the decoded attribute shows what.
    Unknown,
}

/// Returns what the rule changes in an encoded attribute.
#[inline]
pub(super) fn change_of(key: &[u8], value: &[u8]) -> EncodedChange {
    let ends_in_number = key
        .split_last_chunk::<6>()
        .is_some_and(|(start, end)| is_number(end) && start.last().is_none_or(|it| is_joint(*it)));
    match value {
        _ if ends_in_number => EncodedChange::Unknown,
        [BOOLEAN, ..] => EncodedChange::Text,
        [INTEGER | DOUBLE, ..] => EncodedChange::TextAndNumber,
        _ => EncodedChange::Nothing,
    }
}

/// The first bytes of values: the number and the type of their field.
const BOOLEAN: u8 = 0x10;
const INTEGER: u8 = 0x18;
const DOUBLE: u8 = 0x21;

fn is_number(end: &[u8]) -> bool {
    end.eq_ignore_ascii_case(b"number")
}

fn is_joint(byte: u8) -> bool {
    stored_byte(byte) == b'_'
}

/// Returns `true` if the rule may change an entry of this encoded map, whose values OpenObserve stores as text if `are_texts`.
pub(super) fn may_change_entries(map: &[u8], are_texts: bool, levels: usize) -> bool {
    levels > 0
        && map_entries(map).map(key_and_value).any(|(key, value)| {
            let is_scalar = matches!(value, [BOOLEAN | INTEGER | DOUBLE, ..]);
            (is_scalar && !are_texts)
                || key.last_chunk::<6>().is_some_and(|end| is_number(end))
                || (holds_map(value) && may_change_entries(value, are_texts, levels - 1))
        })
}

/// Encoded attributes as the rule changes them.
pub(super) struct EncodedColumns {
    /// The number of the attributes' field.
    field: u32,
    /// The further columns of numbers, to be written behind all attributes.
    numbers: Vec<u8>,
}

impl EncodedColumns {
    pub(super) fn new(field: u32) -> Self {
        Self { field, numbers: Vec::new() }
    }

    /// Writes all fields of a message but the one `without`, and its attributes as texts. Returns `true` if one was none.
    pub(super) fn write(
        &mut self,
        message: &[u8],
        without: Option<u32>,
        out: &mut Writer<'_>,
    ) -> bool {
        let mut is_changed = false;
        for field in fields(message).filter(|field| Some(field.number) != without) {
            let is_written = match field.value {
                Field::Len(attribute) if field.number == self.field => {
                    self.write_attribute(attribute, out)
                }
                _ => false,
            };
            if !is_written {
                out.raw(field.raw);
            }
            is_changed |= is_written;
        }
        is_changed
    }

    /// Writes an attribute as text. Returns `false` if it is text already.
    fn write_attribute(&mut self, attribute: &[u8], out: &mut Writer<'_>) -> bool {
        let (key, value) = key_and_value(attribute);
        if matches!(change_of(key, value), EncodedChange::Nothing | EncodedChange::Unknown) {
            return false;
        }
        let decoded = <AnyValue as prost::Message>::decode(value).ok().and_then(|it| it.value);
        let Some(Typed { text: Some(text), number }) = decoded.as_ref().map(Typed::of) else {
            return false;
        };
        // The structure was checked when the request was created, so that each key is UTF-8.
        let key = str::from_utf8(key).unwrap_or_default();
        out.text_attribute(self.field, key, &text);
        if let Some(number) = number {
            Writer::new(&mut self.numbers).message(self.field, |attribute| {
                attribute.string(key_value::KEY, &format!("{key}{NUMBER}"));
                attribute.message(key_value::VALUE, |value| {
                    value.always_double(any_value::DOUBLE, number);
                });
            });
        }
        true
    }

    /// The fields with the further columns.
    pub(super) fn numbers(&self) -> &[u8] {
        &self.numbers
    }
}
