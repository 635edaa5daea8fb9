//! The description of AWS's events in `events.json`, which the layer's code for Python and Node reads too: how to recognize an
//! event, and where its values are. A test writes its table in Rust, because reading the file takes 250,000 instructions of the
//! first invocation.
//!
//! A pointer is a JSON pointer. A text counts only if it is not empty.

use super::span_attributes::TriggerType;
#[cfg(test)]
use serde::Deserialize;
use serde_json::Value;
use std::ops::Deref;
pub(super) use table::DESCRIPTION;

#[rustfmt::skip]
#[allow(clippy::enum_glob_use, clippy::unreadable_literal, clippy::wildcard_imports, reason = "a test writes it")]
mod table;

/// A list of the description.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<T: 'static>(&'static [T]);

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0
    }
}

/// Names of the description with their values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<T: 'static>(&'static [(&'static str, T)]);

impl<T> Table<T> {
    #[cfg(any(test, feature = "dynamodb", feature = "s3"))]
    pub(super) const EMPTY: Self = Self(&[]);

    pub(super) fn get(&self, name: &str) -> Option<&'static T> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }
}

impl<T> Deref for Table<T> {
    type Target = [(&'static str, T)];

    fn deref(&self) -> &[(&'static str, T)] {
        self.0
    }
}

#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct Description {
    pub(super) limits: Limits,
    #[cfg_attr(test, serde(borrow))]
    pub(super) http_methods: List<&'static str>,
    /// The values of `network.protocol.version` by the names in events.
    pub(super) protocol_versions: Table<&'static str>,
    /// Query parameters that grant access (semantic conventions, `docs/registry/attributes/url.md`, `url.query`), including
    /// `token` and `access_token` (RFC 6750).
    pub(super) secret_query_parameters: List<&'static str>,
    /// The places of headers in an event of no source.
    pub(super) headers: List<&'static str>,
    /// The first whose conditions hold is the event's.
    pub(super) sources: List<Source>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
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
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct Source {
    name: &'static str,
    /// Alternatives, of which all tests of one must hold.
    when: List<Table<Test>>,
    trigger: &'static str,
    /// The first of these templates whose places all have a value names the span.
    pub(super) span_name: List<&'static str>,
    /// Maps of headers. The place named first wins.
    pub(super) headers: List<&'static str>,
    pub(super) attributes: Table<AttributePlace>,
    pub(super) http: Option<Http>,
    /// The time at which AWS's service received the request or a message.
    pub(super) received: List<&'static str>,
    pub(super) records: Option<Records>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
enum Test {
    #[cfg_attr(test, serde(rename = "text"))]
    IsText,
    #[cfg_attr(test, serde(rename = "object"))]
    IsObject,
    #[cfg_attr(test, serde(rename = "number"))]
    IsNumber,
    OneOf(#[cfg_attr(test, serde(borrow))] List<&'static str>),
}

/// The value of an attribute: at a pointer, or else a template.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct AttributePlace {
    pub(super) at: List<&'static str>,
    pub(super) text: Option<&'static str>,
    #[cfg_attr(test, serde(rename = "as"))]
    pub(super) conversion: Option<Conversion>,
    /// The attribute's values by those of the event. A value that is not named gives no attribute.
    pub(super) names: Table<&'static str>,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
pub(super) enum Conversion {
    Time,
}

/// The places of an HTTP request's values.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct Http {
    #[cfg_attr(test, serde(borrow))]
    pub(super) method: List<&'static str>,
    pub(super) route: List<&'static str>,
    /// The method and the route.
    pub(super) route_key: List<&'static str>,
    pub(super) path: List<&'static str>,
    pub(super) query: List<&'static str>,
    pub(super) query_parameters: List<&'static str>,
    /// Whether the parameters are still percent-encoded.
    pub(super) encoded: bool,
    pub(super) query_in_path: bool,
    pub(super) protocol: List<&'static str>,
    pub(super) client_address: List<&'static str>,
    pub(super) host: List<&'static str>,
    pub(super) user_agent: List<&'static str>,
}

/// The places of messages, or of changed documents.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct Records {
    /// The list, or the map of lists, in an event of this source.
    pub(super) at: Option<&'static str>,
    /// Whether the event itself is the only record.
    pub(super) is_event: bool,
    /// The value of `messaging.system`; none if the records are no messages.
    pub(super) system: Option<&'static str>,
    pub(super) id: Option<&'static str>,
    pub(super) partition: Option<&'static str>,
    pub(super) offset: Option<&'static str>,
    pub(super) destination: Option<DestinationPlace>,
    pub(super) headers: List<&'static str>,
    pub(super) body: Option<BodyPlace>,
    /// Whether the sender of the first record is the invocation's parent, so that there is no link to it.
    pub(super) sender_is_parent: bool,
    pub(super) document: Option<DocumentPlaces>,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
pub(super) enum DestinationPlace {
    Record(&'static str),
    Event(&'static str),
    /// The key of a list of records, up to this separator.
    Key(&'static str),
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
pub(super) enum BodyPlace {
    Text(&'static str),
    Base64(&'static str),
    Object(&'static str),
}

/// The places of a changed document's values.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct DocumentPlaces {
    pub(super) collection: &'static str,
    pub(super) operation: &'static str,
    /// The values of `faas.document.operation` by the source's names of changes.
    pub(super) operations: Table<&'static str>,
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
        let holds = |(pointer, test): &(&str, Test)| {
            let value = at(subject, pointer);
            match test {
                Test::IsText => value.and_then(non_empty).is_some(),
                Test::IsObject => value.is_some_and(Value::is_object),
                Test::IsNumber => value.is_some_and(Value::is_number),
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
    use expect_test::expect_file;
    use serde::Deserializer;
    use serde::de::{MapAccess, Visitor};
    use std::fmt;
    use std::marker::PhantomData;

    impl<T> Default for List<T> {
        fn default() -> Self {
            Self(&[])
        }
    }

    impl<T> Default for Table<T> {
        fn default() -> Self {
            Self::EMPTY
        }
    }

    impl<'de, T: Deserialize<'de> + 'static> Deserialize<'de> for List<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Ok(Self(Vec::deserialize(deserializer)?.leak()))
        }
    }

    impl<'de: 'static, T: Deserialize<'de> + 'static> Deserialize<'de> for Table<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Entries(PhantomData))
        }
    }

    struct Entries<T>(PhantomData<T>);

    impl<'de: 'static, T: Deserialize<'de> + 'static> Visitor<'de> for Entries<T> {
        type Value = Table<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Table<T>, M::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(Table(entries.leak()))
        }
    }

    /// `UPDATE_EXPECT=1` writes the table.
    #[test]
    fn the_table_has_the_description() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/events.json");
        let text: &str = std::fs::read_to_string(path).unwrap().leak();
        let read: Description = serde_json::from_str(text).unwrap();
        // The output of `Debug` is Rust, but for the references to lists.
        let table = format!("{read:?}").replace('[', "&[").replace("Source {", "\n    Source {");
        let code = format!(
            "//! The description in `events.json`, written by a test.\n\n\
             use super::BodyPlace::*;\nuse super::Conversion::*;\nuse super::DestinationPlace::*;\nuse super::Test::*;\nuse super::*;\n\n\
             pub(in crate::trigger) static DESCRIPTION: Description = {table};\n"
        );
        expect_file!["description/table.rs"].assert_eq(&code);
        assert_eq!(format!("{DESCRIPTION:?}"), format!("{read:?}"));
    }
}
