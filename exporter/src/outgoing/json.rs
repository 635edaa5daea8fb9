//! Adds members to JSON objects. Each value that is there keeps its text, because a parsed number may be another one.

use super::fields::ContextFields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The members of an object, each as source text.
type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn members(object: &str) -> Option<Members<'_>> {
    serde_json::from_str(object).ok()
}

/// The object with the fields added in an object under this key; `None` if it already has one of them, or is not an object.
pub(super) fn with_fields(json: &str, key: &str, fields: &ContextFields) -> Option<String> {
    let mut object = members(json)?;
    let mut own = object.get(key).map_or(Some(Members::new()), |own| members(own.get()))?;
    let has = |name: &str| own.keys().any(|own| own.eq_ignore_ascii_case(name));
    if fields.is_empty() || fields.iter().any(|(name, _)| has(name)) {
        return None;
    }
    let values: Vec<Box<RawValue>> =
        fields.iter().map(|(_, value)| to_raw_value(value).ok()).collect::<Option<_>>()?;
    let names = fields.iter().map(|(name, _)| Cow::Borrowed(name));
    own.extend(names.zip(values.iter().map(AsRef::as_ref)));
    let extended = to_raw_value(&own).ok()?;
    object.insert(Cow::Borrowed(key), &extended);
    serde_json::to_string(&object).ok()
}

/// Maximum number of base64 bytes.
const MAX_BYTES: usize = 3583;

/// The client context with the fields among its custom values; `None` if it stays unchanged.
pub(super) fn with_custom(existing: Option<&str>, fields: &ContextFields) -> Option<String> {
    let existing = match existing {
        Some(base64) => String::from_utf8(STANDARD.decode(base64).ok()?).ok()?,
        None => "{}".to_owned(),
    };
    let written = |fields: &ContextFields| {
        let written = STANDARD.encode(with_fields(&existing, "custom", fields)?);
        (written.len() <= MAX_BYTES).then_some(written)
    };
    // The caller chose the baggage, the only field of unlimited length.
    written(fields).or_else(|| written(&fields.first()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::propagation::Injector as _;

    #[test]
    fn fields_are_added_to_an_object_without_them_and_other_values_keep_their_text() {
        let mut fields = ContextFields::default();
        fields.set("traceparent", "00-1".to_owned());
        let check = |json: &str, expected: Option<&str>| {
            assert_eq!(with_fields(json, "headers", &fields).as_deref(), expected, "{json}");
        };
        check(
            r#"{"order": 7.0,"big":12345678901234567890123,"headers":{"host":"x"}}"#,
            Some(
                r#"{"big":12345678901234567890123,"headers":{"host":"x","traceparent":"00-1"},"order":7.0}"#,
            ),
        );
        check("{}", Some(r#"{"headers":{"traceparent":"00-1"}}"#));
        for unchanged in [
            r#"{"headers":{"Traceparent":"own"}}"#,
            r#"{"headers":[1]}"#,
            r#"{"headers":null}"#,
            "[]",
            "{",
            "",
        ] {
            check(unchanged, None);
        }
    }

    #[test]
    fn oversized_baggage_is_dropped_before_the_traceparent() {
        let check = |existing: Option<usize>, baggage: usize, expected: Option<&[&str]>| {
            let existing = existing
                .map(|bytes| STANDARD.encode(format!("{{\"client\":\"{}\"}}", "x".repeat(bytes))));
            let mut fields = ContextFields::default();
            fields.set("traceparent", "00-1".to_owned());
            fields.set("baggage", "b".repeat(baggage));
            let written = with_custom(existing.as_deref(), &fields);
            let keys = written.map(|base64| {
                let json: serde_json::Value =
                    serde_json::from_slice(&STANDARD.decode(base64).unwrap()).unwrap();
                json["custom"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            });
            let expected = expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
            assert_eq!(keys, expected);
        };
        check(None, 1000, Some(&["baggage", "traceparent"]));
        check(None, 8000, Some(&["traceparent"]));
        check(Some(1000), 2000, Some(&["traceparent"]));
        check(Some(3000), 8000, None);
    }
}
