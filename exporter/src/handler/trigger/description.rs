//! The description of AWS's events in `events.json`, which the layer's code for Python and Node reads too: how to recognize an
//! event, and where its values are.
//!
//! A pointer is a JSON pointer. A text counts only if it is not empty.

use super::span_attributes::TriggerType;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The description. It is parsed once, by the first event that needs it.
pub(super) static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| {
    let text = include_str!("../../../events.json");
    // A test parses it too.
    serde_json::from_str(text).unwrap_or_default()
});

#[derive(Debug, Default, Deserialize)]
pub(super) struct Description {
    pub(super) limits: Limits,
    #[serde(borrow)]
    pub(super) http_methods: Vec<&'static str>,
    /// The values of `network.protocol.version` by the names in events.
    pub(super) protocol_versions: BTreeMap<&'static str, &'static str>,
    /// Query parameters that grant access (semantic conventions, `docs/registry/attributes/url.md`, `url.query`), including
    /// `token` and `access_token` (RFC 6750).
    pub(super) secret_query_parameters: Vec<&'static str>,
    /// The places of headers in an event of no source.
    pub(super) headers: Vec<&'static str>,
    /// The first whose conditions hold is the event's.
    pub(super) sources: Vec<Source>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Limits {
    /// Number of messages among which one must name its sender, or the others are not read; a batch may have 10,000.
    pub(super) links: usize,
    /// The maximum length of a header of a message (W3C Baggage, 3.3.2).
    pub(super) header_bytes: usize,
    /// The maximum length of a body to search for headers. The interceptor of AWS's SDK writes none into longer bodies either.
    pub(super) body_bytes: usize,
    /// Number of entries of `X-Forwarded-For` to search for an address.
    pub(super) forwarded_addresses: usize,
    /// Number of segments of a path in a span's name.
    pub(super) name_segments: usize,
    /// The maximum length of a segment that is no id.
    pub(super) segment_bytes: usize,
    /// Number of digits in a segment that is an id.
    pub(super) id_digits: usize,
}

/// A source of events.
#[derive(Debug, Deserialize)]
pub(super) struct Source {
    name: &'static str,
    /// Alternatives, of which all tests of one must hold.
    when: Vec<BTreeMap<&'static str, Test>>,
    trigger: &'static str,
    /// The first of these templates whose places all have a value names the span.
    #[serde(default)]
    pub(super) span_name: Vec<&'static str>,
    /// Maps of headers. The place named first wins.
    #[serde(default)]
    pub(super) headers: Vec<&'static str>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<&'static str, Attribute>,
    pub(super) http: Option<Http>,
    /// The time at which AWS's service received the request or a message.
    #[serde(default)]
    pub(super) received: Vec<&'static str>,
    pub(super) records: Option<Records>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Test {
    Text,
    Object,
    Number,
    OneOf(#[serde(borrow)] Vec<&'static str>),
}

/// The value of an attribute: at a pointer, or else a template.
#[derive(Debug, Deserialize)]
pub(super) struct Attribute {
    #[serde(default, borrow)]
    pub(super) at: Vec<&'static str>,
    pub(super) text: Option<&'static str>,
    #[serde(rename = "as")]
    pub(super) conversion: Option<Conversion>,
    /// The attribute's values by those of the event. A value that is not named gives no attribute.
    #[serde(default)]
    pub(super) names: BTreeMap<&'static str, &'static str>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Conversion {
    Time,
}

/// The places of an HTTP request's values.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Http {
    #[serde(borrow)]
    pub(super) method: Vec<&'static str>,
    pub(super) route: Vec<&'static str>,
    /// The method and the route.
    pub(super) route_key: Vec<&'static str>,
    pub(super) path: Vec<&'static str>,
    pub(super) query: Vec<&'static str>,
    pub(super) query_parameters: Vec<&'static str>,
    /// Whether the parameters are still percent-encoded.
    pub(super) encoded: bool,
    pub(super) query_in_path: bool,
    pub(super) protocol: Vec<&'static str>,
    pub(super) client_address: Vec<&'static str>,
    pub(super) host: Vec<&'static str>,
    pub(super) user_agent: Vec<&'static str>,
}

/// The places of messages, or of changed documents.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Records {
    /// The list, or the map of lists, in an event of this source.
    #[serde(borrow)]
    pub(super) at: Option<&'static str>,
    /// Whether the event itself is the only record.
    pub(super) is_event: bool,
    /// The value of `messaging.system`; none if the records are no messages.
    pub(super) system: Option<&'static str>,
    pub(super) id: Option<&'static str>,
    pub(super) partition: Option<&'static str>,
    pub(super) offset: Option<&'static str>,
    pub(super) destination: Option<Destination>,
    pub(super) headers: Vec<&'static str>,
    pub(super) body: Option<BodyPlace>,
    /// Whether the sender of the first record is the invocation's parent, so that there is no link to it.
    pub(super) sender_is_parent: bool,
    pub(super) document: Option<Document>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Destination {
    Record(&'static str),
    Event(&'static str),
    /// The key of a list of records, up to this separator.
    Key(&'static str),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BodyPlace {
    Text(&'static str),
    Base64(&'static str),
    Object(&'static str),
}

/// The places of a changed document's values.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) collection: &'static str,
    pub(super) operation: &'static str,
    /// The values of `faas.document.operation` by the source's names of changes.
    pub(super) operations: BTreeMap<&'static str, &'static str>,
    pub(super) name: Option<&'static str>,
    pub(super) time: Option<&'static str>,
}

impl Description {
    /// The source of an event with this subject: the event, or its first record.
    pub(super) fn source_of(&self, subject: &Value) -> Option<&Source> {
        self.sources.iter().find(|source| source.applies_to(subject))
    }

    /// The source of this name, for events with types of their own.
    pub(super) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }
}

impl Source {
    fn applies_to(&self, subject: &Value) -> bool {
        let holds = |(pointer, test): (&&str, &Test)| {
            let value = at(subject, pointer);
            match test {
                Test::Text => value.and_then(non_empty).is_some(),
                Test::Object => value.is_some_and(Value::is_object),
                Test::Number => value.is_some_and(Value::is_number),
                Test::OneOf(texts) => {
                    value.and_then(Value::as_str).is_some_and(|text| texts.contains(&text))
                }
            }
        };
        self.when.iter().any(|tests| tests.iter().all(holds))
    }

    pub(super) fn trigger(&self) -> TriggerType {
        use TriggerType::{Datasource, Http, Other, PubSub, Timer};
        let triggers = [Datasource, Http, PubSub, Timer];
        triggers.into_iter().find(|own| own.as_str() == self.trigger).unwrap_or(Other)
    }
}

/// The value at a JSON pointer, which has no escapes.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(value, |value, key| match value {
        Value::Object(map) => map.get(key),
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The text at a JSON pointer.
pub(super) fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    at(value, pointer).and_then(non_empty)
}

/// The text at the first of these pointers that has one.
pub(super) fn first_text<'a>(value: &'a Value, pointers: &[&str]) -> Option<&'a str> {
    pointers.iter().find_map(|pointer| text_at(value, pointer))
}

fn non_empty(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_read() {
        let text = include_str!("../../../events.json");
        let read: Description = serde_json::from_str(text).unwrap();
        assert!(read.sources.len() > 15, "{}", read.sources.len());
        assert_eq!(DESCRIPTION.sources.len(), read.sources.len());
    }
}
