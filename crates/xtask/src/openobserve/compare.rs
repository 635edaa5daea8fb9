//! Compares the rows of a stream in the server with the rows in the model, column by column.

use super::server::Columns;
use serde_json::Value;
use std::collections::BTreeMap;
use test_support::Comparison;

/// Columns that OpenObserve fills, with values of its own.
const OWN: [&str; 4] = ["__hash__", "_o2_ingest_ts", "_o2_id", "_original"];
const OWN_PREFIX: &str = "infer_service_";

/// The account of one way of sending.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) sent: usize,
    pub(super) stored: usize,
    pub(super) equal: usize,
    /// Rows without some of their columns, and rows that are stored twice, as after concurrent requests that add columns
    /// (`docs/openobserve.md`).
    pub(super) raced: usize,
    pub(super) differences: Vec<String>,
}

impl Account {
    pub(super) fn add(&mut self, stream: &str, sent: Vec<Columns>, stored: Vec<Columns>) {
        self.sent += sent.len();
        self.stored += stored.len();
        let comparison = Comparison::of(sent.into_iter().map(row), stored.into_iter().map(row));
        let Comparison { found, missing, repeated, unexpected: mut surplus, .. } = comparison;
        self.equal += found;
        self.raced += repeated.len();
        for sent in missing {
            let nearest =
                surplus.iter().enumerate().min_by_key(|(_, row)| differing(&sent, row).count());
            if let Some((at, _)) = nearest {
                let stored = surplus.remove(at);
                if stored.iter().all(|(name, value)| sent.get(name) == Some(value)) {
                    self.raced += 1;
                    continue;
                }
                let columns = differing(&sent, &stored);
                self.differences.extend(columns.map(|column| format!("{stream}: {column}")));
            } else {
                self.differences.push(format!("{stream}: not stored: {sent:?}"));
            }
        }
        let surplus = surplus.iter().map(|row| format!("{stream}: not sent: {row:?}"));
        self.differences.extend(surplus);
    }
}

type Row = BTreeMap<String, String>;

/// The values as text: the type of a column depends on the other rows of the stream.
fn row(columns: Columns) -> Row {
    let is_sent = |name: &str| !OWN.contains(&name) && !name.starts_with(OWN_PREFIX);
    // Some rows without exemplars have null, some an empty list. OpenObserve 0.60.5 stores no columns for a missing status.
    let is_empty = |name: &str, value: &Value| match name {
        _ if value.is_null() => true,
        "exemplars" => value == "[]",
        "status_code" => value == 0 || value == "0",
        "status_message" => value == "",
        _ => false,
    };
    columns
        .into_iter()
        .filter(|(name, value)| is_sent(name) && !is_empty(name, value))
        .map(|(name, value)| (name, text(&value)))
        .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => serde_json::from_str::<Value>(text)
            .ok()
            .filter(|value| value.is_array() || value.is_object() || value.is_f64())
            .map_or_else(|| text.clone(), |value| self::text(&value)),
        Value::Number(number) if number.is_f64() => {
            // OpenObserve computes costs of -0.0. The sum is 0.0.
            number.as_f64().map(|number| (number + 0.0).to_string()).unwrap_or_default()
        }
        value => value.to_string(),
    }
}

/// The columns with different values, and both values.
fn differing<'a>(sent: &'a Row, stored: &'a Row) -> impl Iterator<Item = String> + 'a {
    let lost = sent.iter().filter_map(|(name, value)| match stored.get(name) {
        Some(stored) if stored == value => None,
        Some(stored) => Some(format!("{name}: sent {value:?}, stored {stored:?}")),
        None => Some(format!("{name}: sent {value:?}, not stored")),
    });
    let added = stored.iter().filter(|(name, _)| !sent.contains_key(*name));
    lost.chain(added.map(|(name, value)| format!("{name}: not sent, stored {value:?}")))
}
