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
    pub(crate) fn iter(self) -> Lines<'static> {
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
    pub(crate) durable: DurableEvent,
    pub(super) state_machine: StateMachine,
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
    pub(crate) status: Excerpt,
    pub(crate) statuses: TextList,
    /// Holds for the answer if the execution has ended.
    pub(crate) ended: Alternatives,
    /// Holds for the answer if the execution failed.
    pub(crate) failed: Alternatives,
    pub(crate) error_type: AttributePlace,
    pub(crate) message: AttributePlace,
    /// A list of lines.
    pub(crate) stack_trace: Excerpt,
}

/// The event of a durable function: an envelope around the event that started the execution.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct DurableEvent {
    pub(super) when: Alternatives,
    pub(super) arn: Excerpt,
    /// What stands in the execution's ARN after the ARN of the function.
    pub(crate) within_function: Excerpt,
    /// The start of the execution, in milliseconds since the Unix epoch.
    pub(super) started: TextList,
    /// The text of the event that started the execution.
    pub(super) input: Excerpt,
    /// The first recorded operation. The first invocation has none.
    pub(super) recorded: Excerpt,
    /// The execution's span has the id of the hash of this and the ARN.
    pub(crate) span_seed: Excerpt,
    /// A template with the place `function`.
    pub(crate) span_name: Excerpt,
    pub(crate) attributes: DurableAttributes,
}

/// The names of the attributes that belong to a durable execution.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(crate) struct DurableAttributes {
    pub(crate) arn: Excerpt,
    pub(crate) status: Excerpt,
    pub(crate) is_first: Excerpt,
}

/// The context object of Step Functions, which a state passes to the function that it calls.
#[derive(Debug)]
#[cfg_attr(test, derive(Default, Deserialize), serde(default))]
pub(super) struct StateMachine {
    /// Where the event has the object, if it is not the event itself.
    pub(super) at: TextList,
    pub(super) when: Alternatives,
    /// The execution whose hash is the trace id.
    pub(super) execution: TextList,
    /// The parts of the text whose hash is the parent's id.
    pub(super) state: TextList,
    /// Further parts of this text, if one is not 0.
    pub(super) counts: TextList,
    /// The lower half of Datadog's trace id, if one of its tracers started the execution.
    pub(super) trace_id: Excerpt,
    /// Datadog's tags, of which one is the upper half.
    pub(super) tags: Excerpt,
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
            .chain([self.status.as_str()])
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
pub(crate) fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
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
mod tests;
