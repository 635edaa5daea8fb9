//! Adds, sets, renames and removes attributes.

use super::template::Template;
use crate::source::Origin;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use serde::Deserialize;
use settings::Pattern;

#[derive(Clone, Debug)]
pub(super) enum Change {
    Put {
        new: Vec<NewAttribute>,
        /// `false`: existing attributes stay.
        overwrites: bool,
    },
    Rename(Vec<Renaming>),
    Remove(Vec<Pattern>),
}

#[derive(Clone, Debug)]
pub(super) struct NewAttribute {
    pub(super) key: String,
    pub(super) value: NewValue,
}

/// Another key for an attribute, unless that key exists.
#[derive(Clone, Debug)]
pub(super) struct Renaming {
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(super) enum NewValue {
    Text(Template),
    Int(i64),
    Double(f64),
    Bool(bool),
    Array(Vec<NewValue>),
}

impl NewValue {
    fn max_bytes(&self) -> usize {
        const FRAME: usize = 12;
        match self {
            Self::Text(template) => template.max_bytes() + FRAME,
            Self::Int(_) | Self::Double(_) | Self::Bool(_) => FRAME,
            Self::Array(values) => values.iter().map(Self::max_bytes).sum::<usize>() + FRAME,
        }
    }

    fn fill(&self, origin: &Origin) -> AnyValue {
        let value = match self {
            Self::Text(template) => Value::StringValue(template.fill(origin)),
            Self::Int(number) => Value::IntValue(*number),
            Self::Double(number) => Value::DoubleValue(*number),
            Self::Bool(value) => Value::BoolValue(*value),
            Self::Array(values) => {
                let values = values.iter().map(|value| value.fill(origin)).collect();
                Value::ArrayValue(ArrayValue { values })
            }
        };
        AnyValue { value: Some(value) }
    }
}

impl Change {
    /// Upper limit on the growth of the attributes, in bytes.
    pub(super) fn growth(&self) -> usize {
        /// Tags and lengths of an attribute.
        const FRAME: usize = 16;
        match self {
            Self::Put { new, .. } => {
                let of_attribute =
                    |new: &NewAttribute| new.key.len() + new.value.max_bytes() + FRAME;
                new.iter().map(of_attribute).sum()
            }
            Self::Rename(renamings) => {
                let of_key = |it: &Renaming| it.to.len().saturating_sub(it.from.len()) + FRAME;
                renamings.iter().map(of_key).sum()
            }
            Self::Remove(_) => 0,
        }
    }

    /// Changes the attributes. Returns `true` if one is different now.
    pub(super) fn apply(&self, attributes: &mut Vec<KeyValue>, origin: &Origin) -> bool {
        match self {
            Self::Put { new, overwrites } => {
                let mut changed = false;
                for NewAttribute { key, value } in new {
                    changed |= put(attributes, key, value.fill(origin), *overwrites);
                }
                changed
            }
            Self::Rename(renamings) => {
                let mut changed = false;
                for renaming in renamings {
                    changed |= rename(attributes, renaming);
                }
                changed
            }
            Self::Remove(keys) => {
                let before = attributes.len();
                attributes.retain(|attribute| !Pattern::any_matches(keys, &attribute.key));
                attributes.len() < before
            }
        }
    }
}

fn put(attributes: &mut Vec<KeyValue>, key: &str, value: AnyValue, overwrites: bool) -> bool {
    let value = Some(value);
    match attributes.iter_mut().find(|attribute| attribute.key == key) {
        Some(existing) if !overwrites || existing.value == value => return false,
        Some(existing) => existing.value = value,
        None => attributes.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() }),
    }
    true
}

fn rename(attributes: &mut [KeyValue], Renaming { from, to }: &Renaming) -> bool {
    if attributes.iter().any(|attribute| attribute.key == *to) {
        return false;
    }
    let renamed = attributes.iter_mut().find(|attribute| attribute.key == *from);
    renamed.map(|attribute| to.clone_into(&mut attribute.key)).is_some()
}
