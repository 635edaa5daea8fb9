//! The parts of an item that rules read and change, for all signals.

use super::adjusted_count::{note_adjusted_count, note_in_trace_state};
use super::share::Sampled;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use std::borrow::Cow;
use wire::edit::replace_fields;
use wire::field::{any_value, log_record, span, status};
use wire::protobuf::{Value as Field, fields};
use wire::view::{self, ItemKind, key_and_value};

/// The value of an attribute as conditions read it.
pub(super) enum AttributeView<'a> {
    Absent,
    /// A value without inner values, read without a copy.
    Leaf(Leaf<'a>),
    Value(AnyValue),
}

/// What conditions ask about a span.
#[derive(Clone, Copy)]
pub(super) struct SpanView<'a> {
    pub(super) name: &'a str,
    pub(super) kind: i32,
    /// 0 if it is not set.
    pub(super) status: i32,
    pub(super) start_unix_nano: u64,
    pub(super) end_unix_nano: u64,
}

/// What conditions ask about an item. Its values are decoded when a condition asks for them: most items meet no condition, and
/// decoding all values of a span takes longer than deciding about it.
#[derive(Default)]
pub(super) struct ItemView<'i> {
    attributes: Vec<EncodedAttribute<'i>>,
    trace_id: &'i [u8],
    span: Option<SpanView<'i>>,
    body: Option<&'i [u8]>,
    severity: i32,
}

struct EncodedAttribute<'i> {
    key: &'i [u8],
    /// The encoded attribute, with its key.
    bytes: &'i [u8],
}

impl<'i> ItemView<'i> {
    /// The first attribute with this key.
    pub(super) fn attribute(&self, key: &str) -> AttributeView<'i> {
        let Some(attribute) = self.encoded_attribute(key) else { return AttributeView::Absent };
        match leaf(attribute) {
            Some(leaf) => AttributeView::Leaf(leaf),
            None => self.value_of(key).map_or(AttributeView::Absent, AttributeView::Value),
        }
    }

    /// The value of the first attribute with this key.
    pub(super) fn value_of(&self, key: &str) -> Option<AnyValue> {
        KeyValue::decode(self.encoded_attribute(key)?).ok()?.value
    }

    /// The value of the first attribute with this key, if that is text and not empty.
    pub(super) fn text_of(&self, key: &str) -> Option<&'i str> {
        view::text_attribute(self.encoded_attribute(key)?, key).filter(|text| !text.is_empty())
    }

    /// Empty if the item belongs to no trace.
    pub(super) fn trace_id(&self) -> &'i [u8] {
        self.trace_id
    }

    pub(super) fn body(&self) -> Option<AnyValue> {
        AnyValue::decode(self.body?).ok()
    }

    /// 0 if it is not set.
    pub(super) fn severity(&self) -> i32 {
        self.severity
    }

    /// `None` unless the item is a span.
    pub(super) fn span(&self) -> Option<SpanView<'i>> {
        self.span
    }

    /// The first attribute with this key.
    fn encoded_attribute(&self, key: &str) -> Option<&'i [u8]> {
        let attribute = self.attributes.iter().find(|own| own.key == key.as_bytes())?;
        Some(attribute.bytes)
    }

    pub(super) fn read(item: view::Item<'i>) -> Self {
        let kind = item.kind;
        let mut read = Self::default();
        let mut span =
            SpanView { name: "", kind: 0, status: 0, start_unix_nano: 0, end_unix_nano: 0 };
        for field in fields(item.bytes) {
            match (kind, field.number, field.value) {
                (_, number, Field::Len(bytes)) if number == kind.attributes() => {
                    let (key, _) = key_and_value(bytes);
                    read.attributes.push(EncodedAttribute { key, bytes });
                }
                (ItemKind::Span, span::NAME, Field::Len(name)) => {
                    span.name = std::str::from_utf8(name).unwrap_or_default();
                }
                (ItemKind::Span, span::KIND, Field::Varint(kind)) => span.kind = enumerator(kind),
                (ItemKind::Span, span::TRACE_ID, Field::Len(id))
                | (ItemKind::LogRecord, log_record::TRACE_ID, Field::Len(id)) => read.trace_id = id,
                (ItemKind::Span, span::START_TIME, Field::Fixed64(time)) => {
                    span.start_unix_nano = time;
                }
                (ItemKind::Span, span::END_TIME, Field::Fixed64(time)) => span.end_unix_nano = time,
                (ItemKind::Span, span::STATUS, Field::Len(status)) => {
                    span.status = status_code(status);
                }
                (ItemKind::LogRecord, log_record::SEVERITY_NUMBER, Field::Varint(number)) => {
                    read.severity = enumerator(number);
                }
                (ItemKind::LogRecord, log_record::BODY, Field::Len(body)) => read.body = Some(body),
                _ => {}
            }
        }
        read.span = (kind == ItemKind::Span).then_some(span);
        read
    }
}

/// A value without inner values.
pub(super) enum Leaf<'a> {
    Text(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl Leaf<'_> {
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Double(number) => Cow::Owned(number.to_string()),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        }
    }

    pub(super) fn whole(&self) -> Option<i64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Int(number) => Some(*number),
            Self::Double(_) | Self::Bool(_) => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            #[expect(clippy::cast_precision_loss, reason = "rules compare with 53 bits at most")]
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Bool(_) => None,
        }
    }
}

/// The value of an encoded attribute; `None` for a value with inner values.
fn leaf(attribute: &[u8]) -> Option<Leaf<'_>> {
    let (_, value) = key_and_value(attribute);
    let field = fields(value).next()?;
    match (field.number, field.value) {
        (any_value::STRING, Field::Len(text)) => std::str::from_utf8(text).ok().map(Leaf::Text),
        (any_value::BOOL, Field::Varint(value)) => Some(Leaf::Bool(value != 0)),
        (any_value::INT, Field::Varint(number)) => Some(Leaf::Int(number.cast_signed())),
        (any_value::DOUBLE, Field::Fixed64(bits)) => Some(Leaf::Double(f64::from_bits(bits))),
        _ => None,
    }
}

fn status_code(status: &[u8]) -> i32 {
    match fields(status).find(|field| field.number == status::CODE).map(|field| field.value) {
        Some(Field::Varint(code)) => enumerator(code),
        _ => 0,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "protobuf takes the last 32 bits of an enumerator"
)]
fn enumerator(number: u64) -> i32 {
    number as i32
}

/// Changes the attributes of an item, which keeps all other fields. Returns `None` if `change` says that nothing is different.
pub(super) fn change_attributes(
    item: view::Item<'_>,
    change: impl FnOnce(&mut Vec<KeyValue>) -> bool,
) -> Option<Vec<u8>> {
    let mut attributes = read_attributes(item.attributes());
    let number = item.kind.attributes();
    change(&mut attributes).then(|| with_attributes(item.bytes, number, &attributes))
}

/// Returns a message with other attributes, which are in the fields of this number.
pub(super) fn with_attributes(message: &[u8], number: u32, attributes: &[KeyValue]) -> Vec<u8> {
    replace_fields(message, number, |message| {
        for attribute in attributes {
            message.encoded(number, attribute);
        }
    })
}

/// Writes the number of items that a sampled item stands for.
pub(super) fn note_sampled(item: view::Item<'_>, sampled: Sampled) -> Option<Vec<u8>> {
    let mut count = sampled.share.adjusted_count();
    let mut with_state = None;
    if item.kind == ItemKind::Span {
        let trace_id = view::message(item.bytes, span::TRACE_ID);
        let before = view::message(item.bytes, span::TRACE_STATE);
        let mut trace_state = std::str::from_utf8(before).unwrap_or_default().to_owned();
        count = note_in_trace_state(&mut trace_state, trace_id, sampled);
        with_state = Some(replace_fields(item.bytes, span::TRACE_STATE, |span| {
            span.string(span::TRACE_STATE, &trace_state);
        }));
    }
    let item = view::Item::new(item.kind, with_state.as_deref().unwrap_or(item.bytes));
    change_attributes(item, |attributes| {
        note_adjusted_count(attributes, count);
        true
    })
}

/// Decodes attributes.
pub(super) fn read_attributes<'a>(attributes: impl Iterator<Item = &'a [u8]>) -> Vec<KeyValue> {
    // A checked request has no attribute that prost can't decode.
    attributes.filter_map(|attribute| KeyValue::decode(attribute).ok()).collect()
}
