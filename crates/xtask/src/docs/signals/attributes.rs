//! Sets of attributes with their types, from the code and from a table.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use std::collections::BTreeMap;

/// Keys, and the types of their values in the words of the document.
pub(super) type Attributes = BTreeMap<String, &'static str>;

const TYPES: [&str; 5] = ["string", "string[]", "int", "double", "boolean"];

pub(super) fn add(attributes: &mut Attributes, of_item: &[KeyValue]) {
    for KeyValue { key, value, .. } in of_item {
        let value = value.as_ref().and_then(|value| value.value.as_ref());
        let name = match value {
            Some(Value::StringValue(_)) => "string",
            Some(Value::IntValue(_)) => "int",
            Some(Value::DoubleValue(_)) => "double",
            Some(Value::BoolValue(_)) => "boolean",
            Some(Value::ArrayValue(_)) => "string[]",
            _ => "another",
        };
        attributes.insert(key.clone(), name);
    }
}

/// The keys in a table's first column, and the types in its second: one for all keys of the row.
pub(super) fn of_table(table: &str) -> Attributes {
    let mut attributes = Attributes::new();
    for row in table.lines().skip(2) {
        let mut cells = row.split('|').skip(1);
        let (Some(keys), Some(said)) = (cells.next(), cells.next()) else { continue };
        let known = TYPES.into_iter().find(|name| *name == said.trim()).unwrap_or("no type");
        let keys = keys.split('`').skip(1).step_by(2);
        attributes.extend(keys.map(|key| (key.to_owned(), known)));
    }
    attributes
}

pub(super) fn differences(told: &Attributes, made: &Attributes) -> impl Iterator<Item = String> {
    let missing = made.iter().filter(|(key, _)| !told.contains_key(*key));
    let missing = missing.map(|(key, kind)| format!("`{key}` ({kind}) is made and not there"));
    let others = told.iter().filter_map(|(key, said)| match made.get(key) {
        None => Some(format!("`{key}` is there and not made")),
        Some(kind) => (kind != said).then(|| format!("`{key}` is a {kind}, not a {said}")),
    });
    missing.chain(others).collect::<Vec<_>>().into_iter()
}
