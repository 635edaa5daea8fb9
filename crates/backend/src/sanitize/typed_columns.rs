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
use wire::edit::Rewrite;
use wire::field::{any_value, key_value};
use wire::protobuf::{Field as ProtobufField, Value as Field, Writer, fields};
use wire::view::{holds_map, key_and_value, map_entries};

/// The end of the names of columns with numbers.
pub(super) const NUMBER: &str = "_number";
const TEXT: &str = "_text";

/// Attributes, or the entries of a map that become columns.
#[derive(Clone, Copy)]
pub(super) struct Level<'p> {
    /// The beginning of the columns' names.
    path: &'p [u8],
    /// Number of levels of maps whose entries have columns, from this one on.
    levels: usize,
    /// `true` if OpenObserve stores all values as text.
    are_texts: bool,
}

impl Level<'_> {
    const ATTRIBUTES: Self = Self { path: b"", levels: LOG_MAP_LEVELS, are_texts: false };
    /// The entries of a map that is the value of an attribute.
    pub(super) const ENTRIES: Self = Self { levels: LOG_MAP_LEVELS - 1, ..Self::ATTRIBUTES };
    /// The entries of a map that is a body.
    pub(super) const BODY: Self =
        Self { path: b"body_", levels: LOG_MAP_LEVELS - 1, are_texts: true };

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EncodedChange {
    Nothing,
    /// The value becomes text.
    Text,
    /// The value becomes text, and is a number in a further column.
    TextAndNumber,
    /// Entries of a map change.
    Entries,
    /// Only the decoded attribute shows what.
    Unknown,
}

/// Returns what the rule changes in an encoded attribute, but for the entries of a map.
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
const MAP: u8 = 0x32;

fn is_number(end: &[u8]) -> bool {
    end.eq_ignore_ascii_case(b"number")
}

fn is_joint(byte: u8) -> bool {
    stored_byte(byte) == b'_'
}

/// Returns what the rule changes in the entries of an encoded map, which are at this level.
pub(super) fn change_of_entries(map: &[u8], level: &Level<'_>) -> EncodedChange {
    let Level { levels, are_texts, .. } = *level;
    if levels == 0 {
        return EncodedChange::Nothing;
    }
    let changes = map_entries(map).map(|entry| {
        let (key, value) = key_and_value(entry);
        // The column's last word may begin in the key of the map.
        if key.last_chunk::<6>().is_some_and(|end| is_number(end)) {
            return EncodedChange::Unknown;
        }
        match value {
            [BOOLEAN | INTEGER | DOUBLE, ..] if are_texts => EncodedChange::Nothing,
            [BOOLEAN | INTEGER | DOUBLE, ..] => EncodedChange::Entries,
            _ if holds_map(value) => change_of_entries(value, &level.below(&[])),
            _ => EncodedChange::Nothing,
        }
    });
    let change = changes.max().unwrap_or(EncodedChange::Nothing);
    // Protobuf merges a map that is encoded in several pieces.
    let is_plain = change == EncodedChange::Nothing || plain_map(map).is_some();
    if is_plain { change } else { EncodedChange::Unknown }
}

/// The entries of a value that is one encoded map.
fn plain_map(value: &[u8]) -> Option<&[u8]> {
    let mut fields = fields(value);
    match (fields.next(), fields.next()) {
        (Some(map), None) if map.number == any_value::KVLIST => map.as_len(),
        _ => None,
    }
}

/// Encoded attributes, or the entries of a map, as the rule changes them.
pub(super) struct EncodedColumns {
    /// The number of the attributes' field.
    field: u32,
    /// Number of levels of maps whose entries have columns, from this one on.
    levels: usize,
    /// The further columns of numbers, to be written behind all attributes.
    numbers: Vec<u8>,
}

impl EncodedColumns {
    pub(super) fn new(field: u32) -> Self {
        Self { field, levels: LOG_MAP_LEVELS, numbers: Vec::new() }
    }

    /// Visits a field of the message. An attribute that is no text becomes text.
    #[inline]
    pub(super) fn visit(&mut self, field: &ProtobufField<'_>, message: &mut Rewrite<'_>) {
        if let Field::Len(attribute) = field.value
            && field.number == self.field
        {
            let (key, value) = key_and_value(attribute);
            match value {
                [BOOLEAN | INTEGER | DOUBLE, ..] => {
                    return self.write_scalar(field, key, value, message);
                }
                [MAP, ..] if self.levels > 1 => return self.write_map(field, key, value, message),
                _ => {}
            }
        }
        message.keep(field);
    }

    /// Adds the further columns, after the last field.
    pub(super) fn end(&mut self, message: &mut Rewrite<'_>) {
        if !self.numbers.is_empty() {
            message.append().raw(&self.numbers);
            self.numbers.clear();
        }
    }

    fn write_scalar(
        &mut self,
        field: &ProtobufField<'_>,
        key: &[u8],
        value: &[u8],
        message: &mut Rewrite<'_>,
    ) {
        let Some(Typed { text: Some(text), number }) = read_scalar(value).as_ref().map(Typed::of)
        else {
            return message.keep(field);
        };
        replace_value(field, key, message, |value| value.always_string(any_value::STRING, &text));
        let Some(number) = number else { return };
        Writer::new(&mut self.numbers).message(self.field, |attribute| {
            attribute.concatenated(key_value::KEY, key, NUMBER.as_bytes());
            attribute.message(key_value::VALUE, |value| {
                value.always_double(any_value::DOUBLE, number);
            });
        });
    }

    fn write_map(
        &self,
        field: &ProtobufField<'_>,
        key: &[u8],
        value: &[u8],
        message: &mut Rewrite<'_>,
    ) {
        let mut entries =
            Self { field: any_value::VALUES, levels: self.levels - 1, numbers: Vec::new() };
        match plain_map(value).and_then(|map| entries.write_all(map)) {
            Some(map) => {
                replace_value(field, key, message, |value| {
                    value.always_bytes(any_value::KVLIST, &map);
                });
            }
            None => message.keep(field),
        }
    }

    /// Returns a message with changed attributes; `None` if all are texts.
    pub(super) fn write_all(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut rewrite = Rewrite::new(message);
        for field in fields(message) {
            self.visit(&field, &mut rewrite);
        }
        self.end(&mut rewrite);
        rewrite.finish()
    }
}

/// Replaces the value of an attribute, which is this field.
fn replace_value(
    field: &ProtobufField<'_>,
    key: &[u8],
    message: &mut Rewrite<'_>,
    write: impl FnOnce(&mut Writer<'_>),
) {
    message.leave_out(field);
    message.append().message(field.number, |attribute| {
        attribute.always_bytes(key_value::KEY, key);
        attribute.message(key_value::VALUE, write);
    });
}

/// Reads a Boolean or number. The last of several encoded values counts.
fn read_scalar(value: &[u8]) -> Option<Value> {
    let last = fields(value).last()?;
    match (last.number, last.value) {
        (any_value::BOOL, Field::Varint(value)) => Some(Value::BoolValue(value != 0)),
        (any_value::INT, Field::Varint(value)) => Some(Value::IntValue(value.cast_signed())),
        (any_value::DOUBLE, Field::Fixed64(bits)) => Some(Value::DoubleValue(f64::from_bits(bits))),
        _ => None,
    }
}
