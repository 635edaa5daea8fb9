//! The types of log records' values, by column of OpenObserve.
//!
//! OpenObserve gives a column of a log stream one type: the most general of its values. It notes a change of the type for the time
//! of the record that caused it. If a text arrives whose record is older than the last change, the column stays a number, and then
//! `SELECT *` answers with an error instead of rows (0.93-dev). So no value is sent into a column that cannot hold it: it gets a
//! column of its own, such as `took_text` beside `took`.

use super::names::stored_key;
use super::survey::KeyHash;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use std::collections::{BTreeMap, HashMap, HashSet};
use wire::field::log_record;
use wire::protobuf::{Value as Field, fields};
use wire::view::{self, holds_map, key_and_value, map_entries, may_nest};
use wire::{Logs, Request};

/// Nested maps become columns down to this depth, and text below it (`ZO_INGEST_FLATTEN_LEVEL`).
const FLATTEN_LEVELS: usize = 3;

/// The most columns that are tried for a value before it shares one.
const MOST_NAMES: usize = 9;

/// The type of a column or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ColumnType {
    Boolean,
    Integer,
    Float,
    Text,
}

impl ColumnType {
    /// Reads OpenObserve's name of a type. `None` for types that log records do not have.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "Utf8" | "LargeUtf8" | "Utf8View" => Some(Self::Text),
            "Int64" | "UInt64" => Some(Self::Integer),
            "Float64" => Some(Self::Float),
            "Boolean" => Some(Self::Boolean),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "Boolean",
            Self::Integer => "Int64",
            Self::Float => "Float64",
            Self::Text => "Utf8",
        }
    }

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::BoolValue(_) => Some(Self::Boolean),
            Value::IntValue(_) => Some(Self::Integer),
            Value::DoubleValue(_) => Some(Self::Float),
            Value::ArrayValue(array) if array.values.is_empty() => None,
            Value::KvlistValue(map) if map.values.is_empty() => None,
            _ => Some(Self::Text),
        }
    }

    /// Returns `true` if a column of this type stores such a value as it is, or as documented: `true` as 1 among numbers.
    pub(crate) fn holds(self, value: Self) -> bool {
        match self {
            Self::Boolean => value == Self::Boolean,
            Self::Integer => matches!(value, Self::Boolean | Self::Integer),
            Self::Float => value != Self::Text,
            Self::Text => matches!(value, Self::Boolean | Self::Text),
        }
    }

    /// Returns `true` if a column of this type should get the value's type, because numbers belong together.
    pub(crate) fn widens_to(self, value: Self) -> bool {
        !self.holds(value) && self < value && value != Self::Text
    }

    /// The end of the name of a column for such values beside another type.
    fn suffix(self) -> &'static str {
        match self {
            Self::Boolean | Self::Integer | Self::Float => "_number",
            Self::Text => "_text",
        }
    }
}

/// The columns of a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Schema(pub(crate) HashMap<String, ColumnType>);

impl Schema {
    /// Returns the columns to add or to widen before these values are sent.
    pub(crate) fn changes(&self, wanted: &Wanted) -> BTreeMap<String, ColumnType> {
        let mut changes = BTreeMap::new();
        let nothing_taken = HashSet::new();
        for (column, types) in &wanted.0 {
            // Numbers keep the name, so that filters on them go on working.
            let number = types.iter().filter(|it| **it != ColumnType::Text).max();
            let number = number.filter(|it| **it != ColumnType::Boolean || types.len() == 1);
            let Some(first) = number.or(types.last()).copied() else { continue };
            let present = self.0.get(column).copied();
            let mut column_type = present.unwrap_or(first);
            for value in types {
                if column_type.widens_to(*value) {
                    column_type = *value;
                }
            }
            if present != Some(column_type) {
                changes.insert(column.clone(), column_type);
            }
            for value in types.iter().filter(|value| !column_type.holds(**value)) {
                let suffix = self.free_suffix(column, *value, &nothing_taken);
                let own = format!("{column}{suffix}");
                if self.0.get(&own).is_none_or(|present| present.widens_to(*value)) {
                    changes.insert(own, *value);
                }
            }
        }
        changes
    }

    /// Returns what to add to the name of a column for a value that it cannot hold; `None` if it can.
    fn suffix(&self, column: &str, value: ColumnType, taken: &HashSet<String>) -> Option<String> {
        let present = self.0.get(column)?;
        let fits = present.holds(value) || present.widens_to(value);
        (!fits).then(|| self.free_suffix(column, value, taken))
    }

    fn free_suffix(&self, column: &str, value: ColumnType, taken: &HashSet<String>) -> String {
        let suffix = value.suffix();
        let numbered = (2..=MOST_NAMES).map(|number| format!("{suffix}_{number}"));
        let is_free = |suffix: &String| {
            let own = format!("{column}{suffix}");
            !taken.contains(&own)
                && self.0.get(&own).is_none_or(|it| it.holds(value) || it.widens_to(value))
        };
        std::iter::once(suffix.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
    }

    /// Returns `true` if each value may be sent into its column.
    pub(crate) fn fits(&self, wanted: &Wanted) -> bool {
        let holds = |column: &str, value: &ColumnType| {
            let present = self.0.get(column);
            present.is_none_or(|it| it.holds(*value) || it.widens_to(*value))
        };
        wanted.0.iter().all(|(column, types)| types.iter().all(|value| holds(column, value)))
    }

    /// Gives each value that its column cannot hold a column of its own. Returns `None` if there is no such value.
    pub(crate) fn fit(&self, request: &Request) -> Option<Request> {
        let mut logs = request.decode::<Logs>()?.ok()?;
        let mut is_changed = false;
        for resource_logs in &mut logs.resource_logs {
            let mut of_resource = HashSet::new();
            if let Some(resource) = &mut resource_logs.resource {
                each_value("", &resource.attributes, 1, false, &mut |column, _| {
                    of_resource.insert(column.to_owned());
                });
                is_changed |= self.fit_values("", &mut resource.attributes, 1, false, &of_resource);
            }
            let records = resource_logs.scope_logs.iter_mut().flat_map(|it| &mut it.log_records);
            for record in records {
                let mut taken = of_resource.clone();
                each_value("", &record.attributes, 1, false, &mut |column, _| {
                    taken.insert(column.to_owned());
                });
                is_changed |= self.fit_values("", &mut record.attributes, 1, false, &taken);
                if let Some(Value::KvlistValue(map)) =
                    record.body.as_mut().and_then(|body| body.value.as_mut())
                {
                    is_changed |= self.fit_values("body_", &mut map.values, 2, true, &taken);
                }
            }
        }
        is_changed.then(|| Request::encode::<Logs>(&logs))
    }

    fn fit_values(
        &self,
        path: &str,
        attributes: &mut [KeyValue],
        level: usize,
        is_text: bool,
        taken: &HashSet<String>,
    ) -> bool {
        let mut is_changed = false;
        for attribute in attributes {
            let column = column(path, &attribute.key);
            let Some(AnyValue { value: Some(value) }) = &mut attribute.value else { continue };
            match value {
                Value::KvlistValue(map) if level < FLATTEN_LEVELS => {
                    let path = format!("{column}_");
                    is_changed |=
                        self.fit_values(&path, &mut map.values, level + 1, is_text, taken);
                }
                value => {
                    let of_value = ColumnType::of(value);
                    let of_value = of_value.map(|it| if is_text { ColumnType::Text } else { it });
                    let suffix = of_value.and_then(|it| self.suffix(&column, it, taken));
                    if let Some(suffix) = suffix.filter(|suffix| !suffix.is_empty()) {
                        attribute.key.push_str(&suffix);
                        is_changed = true;
                    }
                }
            }
        }
        is_changed
    }
}

fn column(path: &str, key: &str) -> String {
    let stored: Vec<u8> = stored_key(key.as_bytes()).collect();
    format!("{path}{}", String::from_utf8_lossy(&stored))
}

/// Calls `take` with the column and type of each value. Values in a body are text.
fn each_value(
    path: &str,
    attributes: &[KeyValue],
    level: usize,
    is_text: bool,
    take: &mut impl FnMut(&str, ColumnType),
) {
    for attribute in attributes {
        let column = column(path, &attribute.key);
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::KvlistValue(map)) if level < FLATTEN_LEVELS => {
                each_value(&format!("{column}_"), &map.values, level + 1, is_text, take);
            }
            Some(value) => {
                if let Some(of_value) = ColumnType::of(value) {
                    take(&column, if is_text { ColumnType::Text } else { of_value });
                }
            }
            None => {}
        }
    }
}

/// The columns of a request, with the types of their values in order.
#[derive(Debug, Default)]
pub(crate) struct Wanted(pub(crate) BTreeMap<String, Vec<ColumnType>>);

impl Wanted {
    fn add(&mut self, column: &str, value: ColumnType) {
        match self.0.get_mut(column) {
            Some(types) => {
                if let Err(position) = types.binary_search(&value) {
                    types.insert(position, value);
                }
            }
            None => {
                self.0.insert(column.to_owned(), vec![value]);
            }
        }
    }

    fn add_attributes(&mut self, attributes: &[KeyValue]) {
        each_value("", attributes, 1, false, &mut |column, value| self.add(column, value));
    }

    fn add_record(&mut self, record: &[u8]) {
        let Ok(record) = LogRecord::decode(record) else { return };
        self.add_attributes(&record.attributes);
        if let Some(Value::KvlistValue(map)) = record.body.and_then(|body| body.value) {
            each_value("body_", &map.values, 2, true, &mut |column, value| self.add(column, value));
        }
    }
}

/// Keys and types of log records whose columns are known to hold them, as hashes.
#[derive(Debug, Default)]
pub(crate) struct KnownShapes(HashSet<u64>);

/// Above this number of hashes, all are forgotten, and the next requests are compared with the schema again.
const MOST_SHAPES: usize = 1 << 16;

impl KnownShapes {
    pub(crate) fn add(&mut self, shapes: impl IntoIterator<Item = u64>) {
        if self.0.len() > MOST_SHAPES {
            self.0.clear();
        }
        self.0.extend(shapes);
    }

    /// Returns `true` if a record for this stream has another shape than earlier ones.
    pub(crate) fn has_new(&self, stream: &[u8], request: &Request) -> bool {
        let mut has_new = false;
        each_shape(stream, request, |shape, _, _| has_new |= !self.0.contains(&shape));
        has_new
    }

    /// Returns the columns and types of the records with new shapes, and these shapes.
    pub(crate) fn new_in(&self, stream: &[u8], request: &Request) -> (Wanted, HashSet<u64>) {
        let (mut wanted, mut shapes) = (Wanted::default(), HashSet::new());
        each_shape(stream, request, |shape, resource, record| {
            if !self.0.contains(&shape) && shapes.insert(shape) {
                for attribute in resource.attributes() {
                    wanted.add_attributes(&Vec::from_iter(KeyValue::decode(attribute)));
                }
                wanted.add_record(record);
            }
        });
        (wanted, shapes)
    }

    /// Returns the shapes of a request's records.
    pub(crate) fn of(stream: &[u8], request: &Request) -> HashSet<u64> {
        let mut shapes = HashSet::new();
        each_shape(stream, request, |shape, _, _| {
            shapes.insert(shape);
        });
        shapes
    }
}

/// Calls `take` with the shape of each record, its resource and itself, except for repetitions.
fn each_shape<'r>(
    stream: &[u8],
    request: &'r Request,
    mut take: impl FnMut(u64, &view::Container<'r>, &'r [u8]),
) {
    let stream = KeyHash::of_item(stream).hash;
    let mut last = None;
    for container in request.containers() {
        let mut resource = stream;
        for attribute in container.attributes() {
            add_type(&mut resource, attribute);
        }
        for record in container.scopes().flat_map(view::ScopeContainer::messages) {
            let mut shape = resource;
            for field in fields(record) {
                match (field.number, field.value) {
                    (log_record::ATTRIBUTES, Field::Len(attribute)) => {
                        add_type(&mut shape, attribute);
                    }
                    (log_record::BODY, Field::Len(body)) if may_nest(body) => {
                        add_nested(&mut shape, body, FLATTEN_LEVELS);
                    }
                    _ => {}
                }
            }
            if last != Some(shape) {
                take(shape, &container, record);
                last = Some(shape);
            }
        }
    }
}

#[inline]
fn add_type(shape: &mut u64, attribute: &[u8]) {
    let (key, value) = key_and_value(attribute);
    // The first byte of a value names its type.
    let of_value = u64::from(value.first().copied().unwrap_or_default());
    *shape = combined(*shape ^ of_value, KeyHash::of_item(key).hash);
    if may_nest(value) {
        add_nested(shape, value, FLATTEN_LEVELS - 1);
    }
}

#[cold]
fn add_nested(shape: &mut u64, value: &[u8], levels: usize) {
    if levels == 0 || !holds_map(value) {
        return;
    }
    for (key, value) in map_entries(value).map(key_and_value) {
        let of_value = u64::from(value.first().copied().unwrap_or_default());
        *shape = combined(*shape ^ of_value, KeyHash::of_item(key).hash);
        add_nested(shape, value, levels - 1);
    }
    // The end of the map.
    *shape = combined(*shape, 1);
}

#[inline]
fn combined(hash: u64, other: u64) -> u64 {
    (hash.rotate_left(5) ^ other).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
