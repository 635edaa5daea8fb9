//! The types of log records' values, by column of OpenObserve.
//!
//! A column of a log stream has one type, the most general of its values. OpenObserve 0.93-dev keeps rows in memory for minutes, in
//! groups by the schema that they met. If a column changes its type meanwhile and a group has requests with and without the column,
//! `SELECT *` answers with an error instead of the stream's rows, until they are written to disk. If a text arrives whose record is
//! older than the last change, the column stays a number, and the error stays too. So no column ever changes its type: a value that
//! its column cannot hold gets a column of its own, such as `took_text` in addition to `took`.
//!
//! Columns of new keys with numbers are declared as fractions, which hold whole numbers too, because a field has both sooner or
//! later: JavaScript writes 12.0 as 12. Only whole numbers that a fraction cannot hold, such as identifiers, get whole numbers.

use crate::sanitize::limits::LOG_MAP_LEVELS;
use crate::sanitize::stored_key;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use std::collections::{BTreeMap, HashMap, HashSet};
use wire::{Logs, Request};

/// The most columns that are tried for a value before it shares one.
const MAX_NAMES: usize = 9;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Boolean,
    Integer,
    Float,
    Text,
}

/// What a value needs of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueType {
    Boolean,
    /// A whole number that a fraction holds.
    Whole,
    /// A whole number beyond 2^53.
    Large,
    Fraction,
    Text,
}

/// The largest whole number up to which fractions hold each.
pub(super) const MAX_EXACT: u64 = 1 << 53;

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

    /// The type of a new column for these values. It need not hold all of them.
    fn of_new(values: &[ValueType]) -> Self {
        let has = |value| values.contains(&value);
        // Numbers keep the name, so that filters on them go on working.
        if has(ValueType::Fraction) || has(ValueType::Whole) && !has(ValueType::Large) {
            Self::Float
        } else if has(ValueType::Large) {
            Self::Integer
        } else if has(ValueType::Text) || values.is_empty() {
            Self::Text
        } else {
            Self::Boolean
        }
    }

    /// Returns `true` if a column of this type stores such a value as it is, or as documented: `true` as 1 among numbers.
    pub(crate) fn holds(self, value: ValueType) -> bool {
        match self {
            Self::Boolean => value == ValueType::Boolean,
            Self::Integer => {
                matches!(value, ValueType::Boolean | ValueType::Whole | ValueType::Large)
            }
            Self::Float => {
                matches!(value, ValueType::Boolean | ValueType::Whole | ValueType::Fraction)
            }
            Self::Text => matches!(value, ValueType::Boolean | ValueType::Text),
        }
    }
}

impl ValueType {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::BoolValue(_) => Some(Self::Boolean),
            Value::IntValue(number) if number.unsigned_abs() > MAX_EXACT => Some(Self::Large),
            Value::IntValue(_) => Some(Self::Whole),
            Value::DoubleValue(_) => Some(Self::Fraction),
            Value::ArrayValue(array) if array.values.is_empty() => None,
            Value::KvlistValue(map) if map.values.is_empty() => None,
            _ => Some(Self::Text),
        }
    }

    /// The end of the name of a column for such values if another type has the column.
    fn suffix(self) -> &'static str {
        match self {
            Self::Boolean | Self::Whole | Self::Large | Self::Fraction => "_number",
            Self::Text => "_text",
        }
    }
}

/// The columns that attributes, or the entries of a map, have.
#[derive(Clone, Copy)]
pub(super) struct ColumnLevel<'p> {
    /// The beginning of the names of the columns.
    pub(super) path: &'p str,
    /// Number of levels of maps whose entries have columns, from this one on.
    pub(super) levels: usize,
    /// `true` if all values are stored as text.
    pub(super) is_text: bool,
}

impl ColumnLevel<'_> {
    const ATTRIBUTES: Self = Self { path: "", levels: LOG_MAP_LEVELS, is_text: false };
    const BODY: Self = Self { path: "body_", levels: LOG_MAP_LEVELS - 1, is_text: true };

    fn column(self, key: &str) -> String {
        let stored: Vec<u8> = stored_key(key.as_bytes()).collect();
        format!("{}{}", self.path, String::from_utf8_lossy(&stored))
    }

    fn type_of(self, value: &Value) -> Option<ValueType> {
        let own = ValueType::of(value)?;
        Some(if self.is_text { ValueType::Text } else { own })
    }
}

/// The columns of a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) columns: HashMap<String, ColumnType>,
}

impl Schema {
    /// Returns the columns to add before these values are sent.
    pub(crate) fn missing(&self, wanted: &WantedColumns) -> BTreeMap<String, ColumnType> {
        let mut missing = BTreeMap::new();
        for (column, values) in &wanted.columns {
            let column_type = self.columns.get(column).copied().unwrap_or_else(|| {
                let column_type = ColumnType::of_new(values);
                missing.insert(column.clone(), column_type);
                column_type
            });
            for value in values.iter().filter(|value| !column_type.holds(**value)) {
                let present =
                    |own: &str| self.columns.get(own).or_else(|| missing.get(own)).copied();
                let is_free = |own: &str| present(own).is_none_or(|it| it.holds(*value));
                let Some(suffix) = free_suffix(column, *value, is_free) else { continue };
                let own = format!("{column}{suffix}");
                if present(&own).is_none() {
                    missing.insert(own, ColumnType::of_new(&[*value]));
                }
            }
        }
        missing
    }

    /// Returns `true` if one of the columns of these values is new since the `earlier` reading and no text, so that it might still
    /// become one.
    pub(crate) fn gained(&self, earlier: &Self, wanted: &WantedColumns) -> bool {
        wanted.columns.keys().any(|column| {
            let is_text = |present: &ColumnType| *present == ColumnType::Text;
            self.columns.get(column).is_some_and(|present| !is_text(present))
                && !earlier.columns.contains_key(column)
        })
    }

    /// Returns what to add to the name of a column for a value that it cannot hold; `None` if it can, or if no name is free.
    fn suffix(&self, column: &str, value: ValueType, taken: &HashSet<String>) -> Option<String> {
        if self.columns.get(column)?.holds(value) {
            return None;
        }
        let is_free = |own: &str| {
            !taken.contains(own) && self.columns.get(own).is_none_or(|present| present.holds(value))
        };
        free_suffix(column, value, is_free)
    }

    /// Returns `true` if each value may be sent into its column.
    pub(crate) fn fits(&self, wanted: &WantedColumns) -> bool {
        let holds = |column: &str, value: &ValueType| {
            self.columns.get(column).is_none_or(|present| present.holds(*value))
        };
        wanted
            .columns
            .iter()
            .all(|(column, values)| values.iter().all(|value| holds(column, value)))
    }

    /// Gives each value that its column cannot hold a column of its own. Returns `None` if there is no such value.
    pub(crate) fn fit(&self, request: &Request) -> Option<Request> {
        let mut logs = request.decode::<Logs>()?.ok()?;
        let mut is_changed = false;
        for resource_logs in &mut logs.resource_logs {
            let mut of_resource = HashSet::new();
            if let Some(resource) = &mut resource_logs.resource {
                add_columns(&mut of_resource, &resource.attributes);
                let level = ColumnLevel::ATTRIBUTES;
                is_changed |= self.fit_values(level, &mut resource.attributes, &of_resource);
            }
            let records = resource_logs.scope_logs.iter_mut().flat_map(|it| &mut it.log_records);
            for record in records {
                let mut taken = of_resource.clone();
                add_columns(&mut taken, &record.attributes);
                let level = ColumnLevel::ATTRIBUTES;
                is_changed |= self.fit_values(level, &mut record.attributes, &taken);
                let body = record.body.as_mut().and_then(|body| body.value.as_mut());
                if let Some(Value::KvlistValue(map)) = body {
                    is_changed |= self.fit_values(ColumnLevel::BODY, &mut map.values, &taken);
                }
            }
        }
        is_changed.then(|| Request::encode::<Logs>(&logs))
    }

    /// Renames keys of values that their columns cannot hold. Returns `true` if there are any. `taken` are columns of the record.
    fn fit_values(
        &self,
        level: ColumnLevel<'_>,
        attributes: &mut [KeyValue],
        taken: &HashSet<String>,
    ) -> bool {
        let mut is_changed = false;
        for attribute in attributes {
            let column = level.column(&attribute.key);
            let Some(AnyValue { value: Some(value) }) = &mut attribute.value else { continue };
            match value {
                Value::KvlistValue(map) if level.levels > 1 => {
                    let path = format!("{column}_");
                    let below = ColumnLevel { path: &path, levels: level.levels - 1, ..level };
                    is_changed |= self.fit_values(below, &mut map.values, taken);
                }
                value => {
                    let value_type = level.type_of(value);
                    let suffix = value_type.and_then(|it| self.suffix(&column, it, taken));
                    if let Some(suffix) = suffix {
                        attribute.key.push_str(&suffix);
                        is_changed = true;
                    }
                }
            }
        }
        is_changed
    }
}

/// Adds the columns of attributes.
fn add_columns(columns: &mut HashSet<String>, attributes: &[KeyValue]) {
    each_value(ColumnLevel::ATTRIBUTES, attributes, &mut |column, _| {
        columns.insert(column.to_owned());
    });
}

/// Returns the first end of a name that makes it a free one.
fn free_suffix(column: &str, value: ValueType, is_free: impl Fn(&str) -> bool) -> Option<String> {
    let suffix = value.suffix();
    let numbered = (2..=MAX_NAMES).map(|number| format!("{suffix}_{number}"));
    let mut suffixes = std::iter::once(suffix.to_owned()).chain(numbered);
    suffixes.find(|suffix| is_free(&format!("{column}{suffix}")))
}

/// Calls `take` with the column and type of each value.
pub(super) fn each_value(
    level: ColumnLevel<'_>,
    attributes: &[KeyValue],
    take: &mut impl FnMut(&str, ValueType),
) {
    for attribute in attributes {
        let column = level.column(&attribute.key);
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::KvlistValue(map)) if level.levels > 1 => {
                let path = format!("{column}_");
                let below = ColumnLevel { path: &path, levels: level.levels - 1, ..level };
                each_value(below, &map.values, take);
            }
            Some(value) => {
                if let Some(value_type) = level.type_of(value) {
                    take(&column, value_type);
                }
            }
            None => {}
        }
    }
}

/// The columns of a request, with the types of their values in order. The values of a span have no types, since all are texts.
#[derive(Debug, Default)]
pub(crate) struct WantedColumns {
    columns: BTreeMap<String, Vec<ValueType>>,
}

impl WantedColumns {
    pub(super) fn add(&mut self, column: &str, value: ValueType) {
        match self.columns.get_mut(column) {
            Some(types) => {
                if let Err(position) = types.binary_search(&value) {
                    types.insert(position, value);
                }
            }
            None => {
                self.columns.insert(column.to_owned(), vec![value]);
            }
        }
    }

    pub(super) fn add_attributes(&mut self, attributes: &[KeyValue]) {
        let mut add = |column: &str, value| self.add(column, value);
        each_value(ColumnLevel::ATTRIBUTES, attributes, &mut add);
    }

    /// Adds a column whose values are texts, or the server's concern.
    pub(super) fn add_name(&mut self, column: &str) {
        if !self.columns.contains_key(column) {
            self.columns.insert(column.to_owned(), Vec::new());
        }
    }

    pub(super) fn add_record(&mut self, record: &[u8]) {
        let Ok(record) = LogRecord::decode(record) else { return };
        self.add_attributes(&record.attributes);
        if let Some(Value::KvlistValue(map)) = record.body.and_then(|body| body.value) {
            let mut add = |column: &str, value| self.add(column, value);
            each_value(ColumnLevel::BODY, &map.values, &mut add);
        }
    }
}
