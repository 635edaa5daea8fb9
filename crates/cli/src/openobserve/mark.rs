//! The mark at the end of a dashboard's or alert's description, which shows that we installed it and whether it was
//! edited since.
//!
//! `… [lambda-otlp 0.1.0 4be3…]` has the version that installed it, and a fingerprint of the installed content. If the
//! server stores the content differently, for example because it does not know a key, a second fingerprint follows.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Keys that OpenObserve writes, and `enabled`, because pausing an alert is not an edit.
const NOT_OURS: &[&str] = &[
    "dashboardId",
    "id",
    "org_id",
    "folder_id",
    "folder_name",
    "owner",
    "role",
    "created",
    "updatedAt",
    "updated_at",
    "last_edited_by",
    "last_triggered_at",
    "last_satisfied_at",
    "enabled",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) version: String,
    /// The fingerprint of the installed content.
    pub(super) shipped: String,
    /// The fingerprint of the content as the server stored it.
    pub(super) kept: String,
}

const BEGIN: &str = " [lambda-otlp ";

impl Mark {
    /// The mark of this program for content that the server stores unchanged.
    pub(super) fn of(content: &Value) -> Self {
        let shipped = fingerprint(content);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { version, kept: shipped.clone(), shipped }
    }

    pub(super) fn read(content: &Value) -> Option<Self> {
        let (_, mark) = description(content).rsplit_once(BEGIN)?;
        let mut words = mark.strip_suffix(']')?.split(' ').map(str::to_owned);
        let (version, shipped) = (words.next()?, words.next()?);
        let kept = words.next().unwrap_or_else(|| shipped.clone());
        Some(Self { version, shipped, kept })
    }

    pub(super) fn write(&self, content: &Value) -> Value {
        let Self { version, shipped, kept } = self;
        let second = if kept == shipped { String::new() } else { format!(" {kept}") };
        let text = format!("{}{BEGIN}{version} {shipped}{second}]", unmarked(description(content)));
        let mut marked = content.clone();
        if let Some(map) = marked.as_object_mut() {
            map.insert("description".to_owned(), json!(text));
        }
        marked
    }
}

fn description(content: &Value) -> &str {
    content.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn unmarked(description: &str) -> &str {
    description.rsplit_once(BEGIN).map_or(description, |(text, _)| text)
}

/// Returns the content without the mark, the server's own keys, and empty values (null, `false`, empty texts and
/// lists), which servers add and omit.
pub(super) fn essence(content: &Value) -> Value {
    let mut map: Map<String, Value> = content.as_object().cloned().unwrap_or_default();
    map.retain(|key, _| !NOT_OURS.contains(&key.as_str()));
    map.insert("description".to_owned(), json!(unmarked(description(content))));
    telling(&Value::Object(map)).unwrap_or_default()
}

/// Returns the value without empty values; `None` if it is empty.
fn telling(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        // The server returns integers as `0.0`.
        Value::Number(number) => Some(json!(number.as_f64())),
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) => {
            // Empty elements stay, so that the others keep their index.
            Some(list.iter().map(|value| telling(value).unwrap_or_default()).collect())
        }
        Value::Object(map) => {
            let kept = map.iter().filter_map(|(key, value)| Some((key.clone(), telling(value)?)));
            let kept: Map<String, Value> = kept.collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        other => Some(other.clone()),
    }
}

pub(super) fn fingerprint(content: &Value) -> String {
    let mut text = String::new();
    canonical(&essence(content), &mut text);
    let hash = Sha256::digest(text);
    wire::ids::to_hex(hash.get(..8).unwrap_or_default())
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in entries {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for value in list {
                canonical(value, text);
                text.push(',');
            }
            text.push(']');
        }
        other => *text += &other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_readable_and_keeps_the_fingerprint() {
        let content = json!({"title": "a", "description": "What it says."});
        let mark = Mark::of(&content);
        let marked = mark.write(&content);
        assert_eq!(Mark::read(&marked), Some(mark.clone()));
        assert_eq!(fingerprint(&marked), fingerprint(&content));
        let other = Mark { kept: "0123".to_owned(), ..mark };
        let again = other.write(&marked);
        assert_eq!(Mark::read(&again), Some(other));
        assert_eq!(fingerprint(&again), fingerprint(&content));
        for text in ["", "What it says.", "a [lambda-otlp", "a [lambda-otlp ]", "a [lambda-otlp 1]"]
        {
            assert_eq!(Mark::read(&json!({"description": text})), None, "{text}");
        }
    }

    #[test]
    fn the_fingerprint_ignores_server_defaults_but_not_edits() {
        let shipped = json!({"title": "a", "config": {"decimals": 0, "show_legends": true}, "tabs": [{"x": []}]});
        let same = |other: Value| fingerprint(&shipped) == fingerprint(&other);
        assert!(same(json!({
            "tabs": [{"x": [], "y": null}], "title": "a", "owner": "root", "updatedAt": 7, "description": "",
            "config": {"show_legends": true, "decimals": 0.0, "base_map": null, "stacked": false}
        })));
        assert!(!same(json!({"title": "b", "config": shipped["config"], "tabs": [{"x": []}]})));
        assert!(!same(
            json!({"title": "a", "config": {"decimals": 1, "show_legends": true}, "tabs": [{}]})
        ));
        assert!(!same(
            json!({"title": "a", "config": {"decimals": 0, "show_legends": false}, "tabs": [{}]})
        ));
        assert!(!same(json!({"title": "a", "config": shipped["config"], "tabs": [{}, {"x": 1}]})));
    }
}
