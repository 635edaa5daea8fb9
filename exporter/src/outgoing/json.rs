//! Adds members to objects inside JSON text without changing any other byte.

use super::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The members of an object, each as source text.
pub(super) type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

pub(super) fn members(object: &str) -> Option<Members<'_>> {
    serde_json::from_str(object).ok()
}

pub(super) struct Edits<'a> {
    text: &'a str,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, edits: Vec::new() }
    }

    /// Adds members, as text without surrounding commas, to an object within the text.
    pub(super) fn add(&mut self, object: &str, is_empty: bool, members: String) {
        if let Some(Range { start, .. }) = self.range(object) {
            let at = start + object.find('{').unwrap_or_default() + 1;
            let comma = if is_empty { "" } else { "," };
            self.edits.push((at..at, members + comma));
        }
    }

    #[cfg(feature = "aws-sdk")]
    pub(super) fn replace(&mut self, part: &str, by: String) {
        if let Some(range) = self.range(part) {
            self.edits.push((range, by));
        }
    }

    /// The position of a part that borrows from the text.
    fn range(&self, part: &str) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        let range = start..start.checked_add(part.len())?;
        self.text.get(range.clone())?;
        Some(range)
    }

    /// The changed text; `None` without changes.
    pub(super) fn applied(mut self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(range, _)| range.start);
        let added: usize = self.edits.iter().map(|(_, text)| text.len()).sum();
        let mut edited = String::with_capacity(self.text.len() + added);
        let mut done = 0;
        for (range, text) in &self.edits {
            edited.push_str(self.text.get(done..range.start)?);
            edited.push_str(text);
            done = range.end;
        }
        edited.push_str(self.text.get(done..)?);
        Some(edited)
    }
}

pub(super) fn member(name: &str, value: &str) -> String {
    format!("{}:{}", quoted(name), quoted(value))
}

pub(super) fn quoted(text: &str) -> String {
    // A text is always valid JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// `"a":"1","b":"2"`.
fn joined(fields: &Fields) -> String {
    joined_as(fields, member)
}

/// Like the above, with values in another form.
pub(super) fn joined_as(fields: &Fields, form: impl Fn(&str, &str) -> String) -> String {
    fields.iter().map(|(name, value)| form(name, value)).collect::<Vec<_>>().join(",")
}

/// The object with the fields added in an object under this key; `None` if it already has one of them, or is not an object.
pub(super) fn with_fields(json: &str, key: &str, fields: &Fields) -> Option<String> {
    if fields.is_empty() {
        return None;
    }
    let object = members(json)?;
    let mut edits = Edits::of(json);
    match object.get(key) {
        None => {
            let member = format!("{}:{{{}}}", quoted(key), joined(fields));
            edits.add(json, object.is_empty(), member);
        }
        Some(place) => {
            let own = members(place.get())?;
            let has = |name: &str| own.keys().any(|own| own.eq_ignore_ascii_case(name));
            if !fields.iter().any(|(name, _)| has(name)) {
                edits.add(place.get(), own.is_empty(), joined(fields));
            }
        }
    }
    edits.applied()
}

/// Maximum number of base64 bytes.
const MAX_BYTES: usize = 3583;

/// The client context with the fields among its custom values; `None` if it stays unchanged.
pub(super) fn with_custom(existing: Option<&str>, fields: &Fields) -> Option<String> {
    let existing = match existing {
        Some(base64) => String::from_utf8(STANDARD.decode(base64).ok()?).ok()?,
        None => "{}".to_owned(),
    };
    let written = |fields: &Fields| {
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
    fn fields_are_inserted_without_changing_the_rest_of_the_json() {
        let mut fields = Fields::default();
        fields.set("Traceparent", "00-\"".to_owned());
        fields.set("tracestate", String::new());
        let check = |json: &str, expected: Option<&str>| {
            assert_eq!(with_fields(json, "headers", &fields).as_deref(), expected, "{json}");
        };
        let written = r#""headers":{"traceparent":"00-\""}"#;
        check("{}", Some(&format!("{{{written}}}")));
        check(" { } ", Some(&format!(" {{{written} }} ")));
        check(
            r#"{"b": 1.0e2,"a":12345678901234567890 }"#,
            Some(&format!(r#"{{{written},"b": 1.0e2,"a":12345678901234567890 }}"#)),
        );
        check(
            r#"{"a":{"headers":1},"headers": {"host":"x"}}"#,
            Some(r#"{"a":{"headers":1},"headers": {"traceparent":"00-\"","host":"x"}}"#),
        );
        check(r#"{"headers":{"Traceparent":"own"}}"#, None);
        check(r#"{"headers":[1]}"#, None);
        check(r#"{"headers":null}"#, None);
        check(r"[1]", None);
        check(r"{", None);
        check("", None);
        assert_eq!(with_fields("{}", "headers", &Fields::default()), None);
    }

    #[test]
    fn oversized_baggage_is_dropped_before_the_traceparent() {
        let check = |existing: Option<usize>, baggage: usize, expected: Option<&[&str]>| {
            let existing = existing
                .map(|bytes| STANDARD.encode(format!("{{\"client\":\"{}\"}}", "x".repeat(bytes))));
            let mut fields = Fields::default();
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
