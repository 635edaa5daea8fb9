//! The description of AWS's events in `events.json`, which the layer's code for Python and Node reads too: how to recognize an
//! event, where its values are, and what the handler's answer says about the invocation. A test writes its table in Rust, because reading the file takes 250,000 instructions of the
//! first invocation.
//!
//! A pointer is a JSON pointer. A text counts only if it is not empty.

use super::span_attributes::TriggerType;
#[cfg(test)]
use serde::Deserialize;
use serde_json::Value;
use std::ops::Deref;
use std::str::Lines;
pub(crate) use table::DESCRIPTION;

#[rustfmt::skip]
#[allow(clippy::enum_glob_use, clippy::unreadable_literal, clippy::wildcard_imports, reason = "a test writes it")]
mod table;

/// A list of the description.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<T: 'static>(&'static [T]);

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0
    }
}

/// An excerpt of `TEXTS`, which contains all texts of the description. A `&str` would add 36 bytes more to the program of each
/// function: its address, its length and a relocation.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Excerpt {
    start: u16,
    end: u16,
}

impl Excerpt {
    pub(crate) fn as_str(self) -> &'static str {
        table::TEXTS.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }
}

/// A list of texts, one a line.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct TextList(Excerpt);

impl TextList {
    pub(super) fn iter(self) -> Lines<'static> {
        self.0.as_str().lines()
    }
}

/// Names of the description with their values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<T: 'static>(&'static [(Excerpt, T)]);

impl<T> Table<T> {
    #[cfg(any(test, feature = "dynamodb", feature = "s3"))]
    pub(super) const EMPTY: Self = Self(&[]);

    pub(super) fn get(&self, name: &str) -> Option<&'static T> {
        self.0.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
    }
}

impl<T> Deref for Table<T> {
    type Target = [(Excerpt, T)];

    fn deref(&self) -> &[(Excerpt, T)] {
        self.0
    }
}

#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct Description {
    pub(super) limits: Limits,
    pub(super) http_methods: TextList,
    /// The values of `network.protocol.version` by the names in events.
    pub(super) protocol_versions: Table<Excerpt>,
    /// Query parameters that grant access (semantic conventions, `docs/registry/attributes/url.md`, `url.query`), including
    /// `token` and `access_token` (RFC 6750).
    pub(super) secret_query_parameters: TextList,
    /// The places of headers in an event of no source.
    pub(super) headers: TextList,
    pub(crate) answers: Answers,
    /// The first whose conditions hold is the event's.
    pub(super) sources: List<DescribedSource>,
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
pub(super) struct DescribedSource {
    name: Excerpt,
    when: Alternatives,
    #[cfg_attr(test, serde(deserialize_with = "tests::trigger"))]
    pub(super) trigger: TriggerType,
    /// The first of these templates whose places all have a value names the span.
    pub(super) span_name: TextList,
    /// Maps of headers. The place named first wins.
    pub(super) headers: TextList,
    pub(super) attributes: Table<AttributePlace>,
    #[cfg_attr(test, serde(deserialize_with = "tests::leaked"))]
    pub(super) http: Option<&'static HttpPlaces>,
    /// The time at which AWS's service received the request or a message.
    pub(super) received: TextList,
    #[cfg_attr(test, serde(deserialize_with = "tests::leaked"))]
    pub(super) records: Option<&'static RecordPlaces>,
}

/// Alternatives, of which all tests of one must hold.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(transparent))]
pub(crate) struct Alternatives(List<Table<Test>>);

#[derive(Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
enum Test {
    #[cfg_attr(test, serde(rename = "text"))]
    IsText,
    #[cfg_attr(test, serde(rename = "object"))]
    IsObject,
    #[cfg_attr(test, serde(rename = "number"))]
    IsNumber,
    OneOf(TextList),
}

/// The value of an attribute: at a pointer, or else a template.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct AttributePlace {
    pub(super) at: TextList,
    pub(super) text: Option<Excerpt>,
    #[cfg_attr(test, serde(rename = "as"))]
    pub(super) conversion: Option<Conversion>,
    /// The attribute's values by those of the event. A value that is not named gives no attribute.
    pub(super) names: Table<Excerpt>,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
pub(crate) enum Conversion {
    Time,
}

/// The places of an HTTP request's values.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct HttpPlaces {
    pub(super) method: TextList,
    pub(super) route: TextList,
    /// The method and the route.
    pub(super) route_key: TextList,
    pub(super) path: TextList,
    pub(super) query: TextList,
    pub(super) query_parameters: TextList,
    /// Whether the parameters are still percent-encoded.
    pub(super) encoded: bool,
    pub(super) query_in_path: bool,
    pub(super) protocol: TextList,
    pub(super) client_address: TextList,
    pub(super) host: TextList,
    pub(super) user_agent: TextList,
}

/// The places of messages, or of changed documents.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct RecordPlaces {
    /// The list, or the map of lists, in an event of this source.
    pub(super) at: Option<Excerpt>,
    /// Whether the event itself is the only record.
    pub(super) is_event: bool,
    /// The value of `messaging.system`; none if the records are no messages.
    pub(super) system: Option<Excerpt>,
    pub(super) id: Option<Excerpt>,
    pub(super) partition: Option<Excerpt>,
    pub(super) offset: Option<Excerpt>,
    pub(super) destination: Option<DestinationPlace>,
    pub(super) headers: TextList,
    pub(super) body: Option<BodyPlace>,
    /// Whether the sender of the first record is the invocation's parent, so that there is no link to it.
    pub(super) sender_is_parent: bool,
    #[cfg_attr(test, serde(deserialize_with = "tests::leaked"))]
    pub(super) document: Option<&'static DocumentPlaces>,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
pub(super) enum DestinationPlace {
    Record(Excerpt),
    Event(Excerpt),
    /// The key of a list of records, up to this separator.
    Key(Excerpt),
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(Deserialize), serde(rename_all = "snake_case"))]
pub(super) enum BodyPlace {
    Text(Excerpt),
    Base64(Excerpt),
    Object(Excerpt),
}

/// The places of a changed document's values.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct DocumentPlaces {
    pub(super) collection: Excerpt,
    pub(super) operation: Excerpt,
    /// The values of `faas.document.operation` by the source's names of changes.
    pub(super) operations: Table<Excerpt>,
    pub(super) name: Option<Excerpt>,
    pub(super) time: Option<Excerpt>,
}

/// What the handler's answer says about its invocation.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct Answers {
    pub(crate) http_status: HttpStatus,
    pub(crate) failed_messages: FailedMessages,
    pub(crate) durable: DurableAnswer,
}

/// The status of an HTTP response: a number, or its digits.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct HttpStatus {
    pub(crate) at: Excerpt,
    pub(crate) least: u16,
    pub(crate) greatest: u16,
    /// From this one on, the span has failed.
    pub(crate) least_failed: u16,
    pub(crate) attribute: Excerpt,
}

/// The list of the messages in a batch that Lambda must deliver again.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct FailedMessages {
    pub(crate) at: Excerpt,
    pub(crate) attribute: Excerpt,
    pub(crate) error_type: Excerpt,
    /// A template with the place `count`.
    pub(crate) message: Excerpt,
}

/// The answer of a durable function, which reports the failure of its execution as a result.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct DurableAnswer {
    /// Holds for the event of a durable function.
    pub(crate) when: Alternatives,
    /// Holds for the answer if the execution failed.
    pub(crate) failed: Alternatives,
    pub(crate) error_type: AttributePlace,
    pub(crate) message: AttributePlace,
    /// A list of lines.
    pub(crate) stack_trace: Excerpt,
}

impl Description {
    /// The source of an event with this subject: the event, or its first record.
    pub(super) fn source_of(&self, subject: &Value) -> Option<&DescribedSource> {
        self.sources.iter().find(|source| source.when.hold_for(subject))
    }

    /// The source of this name, for events with types of their own.
    pub(super) fn source(&self, name: &str) -> Option<&DescribedSource> {
        self.sources.iter().find(|source| source.name.as_str() == name)
    }
}

impl Alternatives {
    pub(crate) fn hold_for(&self, subject: &Value) -> bool {
        let holds = |(pointer, test): &(Excerpt, Test)| {
            let value = at(subject, pointer.as_str());
            match test {
                Test::IsText => value.and_then(non_empty).is_some(),
                Test::IsObject => value.is_some_and(Value::is_object),
                Test::IsNumber => value.is_some_and(Value::is_number),
                Test::OneOf(texts) => value
                    .and_then(Value::as_str)
                    .is_some_and(|text| texts.iter().any(|expected| expected == text)),
            }
        };
        self.0.iter().any(|tests| tests.iter().all(holds))
    }
}

impl DurableAnswer {
    /// Returns `true` for a name at the top level of an answer that these rules read.
    pub(crate) fn reads(&self, name: &str) -> bool {
        let failed = self.failed.0.iter().flat_map(|tests| tests.iter());
        let mut pointers = failed
            .map(|(pointer, _)| pointer.as_str())
            .chain(self.error_type.at.iter())
            .chain(self.message.at.iter())
            .chain([self.stack_trace.as_str()]);
        pointers.any(|pointer| pointer.split('/').nth(1) == Some(name))
    }
}

/// The value at a JSON pointer, which has no escapes.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
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
#[inline(never)]
pub(super) fn first_text(value: &Value, pointers: TextList) -> Option<&str> {
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
    use serde::de::{Error as _, MapAccess, Visitor};
    use std::cell::RefCell;
    use std::fmt;
    use std::marker::PhantomData;

    impl<T> Default for List<T> {
        fn default() -> Self {
            Self(&[])
        }
    }

    thread_local! {
        /// The texts that were read so far.
        static TEXTS_READ: RefCell<String> = const { RefCell::new(String::new()) };
    }

    impl<'de> Deserialize<'de> for Excerpt {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Ok(excerpt(&String::deserialize(deserializer)?))
        }
    }

    fn excerpt(text: &str) -> Excerpt {
        TEXTS_READ.with_borrow_mut(|texts| {
            let start = texts.find(text).unwrap_or_else(|| {
                texts.push_str(text);
                texts.len() - text.len()
            });
            Excerpt {
                start: start.try_into().unwrap(),
                end: (start + text.len()).try_into().unwrap(),
            }
        })
    }

    impl<'de> Deserialize<'de> for TextList {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let texts: Vec<String> = Vec::deserialize(deserializer)?;
            assert!(texts.iter().all(|text| text.lines().count() == 1), "{texts:?}");
            Ok(Self(excerpt(&texts.join("\n"))))
        }
    }

    pub(super) fn trigger<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<TriggerType, D::Error> {
        use TriggerType::{Datasource, Http, Other, PubSub, Timer};
        let name = String::deserialize(deserializer)?;
        let mut all = [Datasource, Http, PubSub, Timer, Other].into_iter();
        let found = all.find(|trigger| trigger.as_str() == name);
        found.ok_or_else(|| D::Error::custom(format!("{name} is no trigger")))
    }

    /// Reads a part whose place in the table is a reference.
    pub(super) fn leaked<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<&'static T>, D::Error> {
        let part: Option<T> = Option::deserialize(deserializer)?;
        Ok(part.map(|part| &*Box::leak(Box::new(part))))
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

    impl<'de, T: Deserialize<'de> + 'static> Deserialize<'de> for Table<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Entries(PhantomData))
        }
    }

    struct Entries<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + 'static> Visitor<'de> for Entries<T> {
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
        let text = std::fs::read_to_string(path).unwrap();
        let read: Description = serde_json::from_str(&text).unwrap();
        // The output of `Debug` is Rust, but for the references.
        let texts = TEXTS_READ.take();
        let mut table = format!("{read:?}")
            .replace('[', "&[")
            .replace("DescribedSource {", "\n    DescribedSource {");
        for part in ["HttpPlaces", "RecordPlaces", "DocumentPlaces"] {
            table = table.replace(&format!("Some({part} {{"), &format!("Some(&{part} {{"));
        }
        let code = format!(
            "//! The description in `events.json`, written by a test.\n\n\
             use super::BodyPlace::*;\nuse super::Conversion::*;\nuse super::DestinationPlace::*;\nuse super::Test::*;\nuse super::TriggerType::*;\nuse super::*;\n\n\
             pub(crate) static DESCRIPTION: Description = {table};\n\n\
             pub(super) static TEXTS: &str = {texts:?};\n"
        );
        expect_file!["description/table.rs"].assert_eq(&code);
        assert_eq!(format!("{DESCRIPTION:?}"), format!("{read:?}"));
    }
}
