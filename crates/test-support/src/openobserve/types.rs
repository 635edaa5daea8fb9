//! The types of the columns of log streams, and what a search does with values of other types.
//!
//! As read and measured on 0.93-dev. A stream has versions of its schema, each from a time on; the latest counts. A new column changes
//! the latest version. A more general type makes a new version that begins at the time of the request's oldest record, which is not
//! the latest if that record is older than the latest version.
//!
//! Rows wait in memory in groups by the schema that they met. A search joins the requests of a group. It gives a request that lacks a
//! column the column's type of now, and fails if another request of the group has an older type.

use super::rows::Row;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The type of a column, from the narrowest to the most general. The client under test has a list of its own, so that this one
/// can judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ColumnType {
    Boolean,
    Int64,
    Float64,
    Utf8,
}

impl ColumnType {
    fn of_value(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Float64,
            Value::Number(_) => Self::Int64,
            _ => Self::Utf8,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "Boolean",
            Self::Int64 => "Int64",
            Self::Float64 => "Float64",
            Self::Utf8 => "Utf8",
        }
    }
}

type Columns = BTreeMap<String, ColumnType>;

/// The types of a stream's columns.
#[derive(Debug, Default, Clone)]
pub(super) struct Types {
    /// The versions of the schema, by the time in microseconds at which they begin.
    versions: BTreeMap<i64, Columns>,
    requests: Vec<Waiting>,
}

/// The rows of a request that wait in memory.
#[derive(Debug, Clone)]
struct Waiting {
    /// The schema that the request met.
    schema: Columns,
    columns: BTreeSet<String>,
}

impl Types {
    /// Adds the columns of these rows. Returns `false` if nothing may be written: a version begins at this time already.
    pub(super) fn add_rows<'r>(&mut self, rows: impl Iterator<Item = &'r Row>) -> bool {
        let mut columns = Columns::new();
        let mut oldest = i64::MAX;
        for row in rows {
            for (name, value) in &row.columns {
                let of_value = ColumnType::of_value(value);
                let known = columns.entry(name.clone()).or_insert(of_value);
                *known = (*known).max(of_value);
            }
            oldest = oldest.min(row.columns.get("_timestamp").and_then(Value::as_i64).unwrap_or(0));
        }
        let names = columns.keys().cloned().collect();
        let is_written = self.merge(columns, oldest);
        if is_written && let Some(schema) = self.latest().cloned() {
            self.requests.push(Waiting { schema, columns: names });
        }
        is_written
    }

    fn merge(&mut self, columns: Columns, time: i64) -> bool {
        let Some(mut latest) = self.versions.last_entry() else {
            self.versions.insert(time, columns);
            return true;
        };
        let mut merged = latest.get().clone();
        let mut is_widened = false;
        for (name, of_column) in columns {
            let known = merged.entry(name).or_insert(of_column);
            is_widened |= of_column > *known;
            *known = of_column.max(*known);
        }
        if !is_widened {
            latest.insert(merged);
            return true;
        }
        if self.versions.contains_key(&time) {
            return false;
        }
        self.versions.insert(time, merged);
        true
    }

    fn latest(&self) -> Option<&Columns> {
        self.versions.last_key_value().map(|(_, columns)| columns)
    }

    /// Joins the requests of each group. The error hides all rows of the stream.
    pub(super) fn join(&self) -> Result<(), HiddenRows> {
        let latest = self.latest().into_iter().flatten();
        for (column, now) in latest {
            for has in self.requests.iter().filter(|request| request.columns.contains(column)) {
                let is_of_group = |other: &&Waiting| other.schema == has.schema;
                let mut group = self.requests.iter().filter(is_of_group);
                let written = has.schema.get(column);
                if written != Some(now) && group.any(|other| !other.columns.contains(column)) {
                    return Err(HiddenRows::DifferentTypes {
                        written: written.unwrap_or(now).name(),
                        now: now.name(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Converts a row's values to the types of the columns. The error hides all rows of the stream.
    pub(super) fn convert(&self, row: &mut Row) -> Result<(), HiddenRows> {
        let Some(columns) = self.latest() else { return Ok(()) };
        for (name, value) in &mut row.columns {
            let Some(of_column) = columns.get(name) else { continue };
            *value = converted(value, *of_column)?;
        }
        Ok(())
    }
}

/// The reason why no row of a stream is found, in OpenObserve's words.
#[derive(Debug, thiserror::Error)]
pub enum HiddenRows {
    #[error("It is not possible to concatenate arrays of different data types ({written}, {now})")]
    DifferentTypes {
        /// The column's type as the request was written.
        written: &'static str,
        /// The column's present type.
        now: &'static str,
    },
    #[error("Cannot cast string '{text}' to value of {of_column} type")]
    Cast { text: String, of_column: &'static str },
}

fn converted(value: &Value, of_column: ColumnType) -> Result<Value, HiddenRows> {
    use ColumnType::{Boolean, Float64, Int64, Utf8};
    let cannot =
        |text: &str| HiddenRows::Cast { text: text.to_owned(), of_column: of_column.name() };
    Ok(match (value, of_column) {
        (Value::String(_), Utf8) => value.clone(),
        (value, Utf8) => Value::String(value.to_string()),
        (Value::String(text), Float64) => json!(text.parse::<f64>().map_err(|_| cannot(text))?),
        (Value::String(text), Int64) => json!(text.parse::<i64>().map_err(|_| cannot(text))?),
        (Value::String(text), Boolean) => json!(text.parse::<bool>().map_err(|_| cannot(text))?),
        (Value::Bool(is_true), Int64) => json!(i64::from(*is_true)),
        (Value::Bool(is_true), Float64) => json!(f64::from(u8::from(*is_true))),
        (Value::Number(number), Float64) => json!(number.as_f64()),
        #[expect(clippy::cast_possible_truncation, reason = "as OpenObserve does")]
        (Value::Number(number), Int64) if number.is_f64() => {
            json!(number.as_f64().unwrap_or_default() as i64)
        }
        (Value::Number(number), Boolean) => json!(number.as_f64() != Some(0.0)),
        (value, _) => value.clone(),
    })
}
