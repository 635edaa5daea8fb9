//! The parts of an item that rules read and change, for all signals.

use super::adjusted_count::{note_adjusted_count, note_in_trace_state};
use super::redact::{ItemPart, Redacted, Redaction};
use super::share::Sampled;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::borrow::Cow;
use wire::field::{any_value, log_record, span, status};
use wire::protobuf::{Value as Field, fields};
use wire::view::{self, ItemKind, key_and_value};

/// What conditions ask about an item.
pub(super) trait ItemView {
    /// The first attribute with this key.
    fn attribute(&self, key: &str) -> AttributeView<'_>;

    /// The value of the first attribute with this key.
    fn value_of(&self, key: &str) -> Option<Cow<'_, AnyValue>>;

    /// The value of the first attribute with this key, if that is text and not empty.
    fn text_of(&self, key: &str) -> Option<Cow<'_, str>>;

    /// Empty if the item belongs to no trace.
    fn trace_id(&self) -> &[u8];

    fn body(&self) -> Option<Cow<'_, AnyValue>>;

    /// 0 if it is not set.
    fn severity(&self) -> i32;

    /// `None` unless the item is a span.
    fn span(&self) -> Option<SpanView<'_>>;
}

/// The value of an attribute as conditions read it.
pub(super) enum AttributeView<'a> {
    Absent,
    /// A value without inner values, read without a copy.
    Leaf(Leaf<'a>),
    Value(Cow<'a, AnyValue>),
}

impl<'a> AttributeView<'a> {
    fn of(value: Option<Cow<'a, AnyValue>>) -> Self {
        value.map_or(Self::Absent, Self::Value)
    }
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

impl<I: Item> ItemView for I {
    fn attribute(&self, key: &str) -> AttributeView<'_> {
        AttributeView::of(self.value_of(key))
    }

    fn value_of(&self, key: &str) -> Option<Cow<'_, AnyValue>> {
        let attribute = self.attributes().iter().find(|attribute| attribute.key == key)?;
        attribute.value.as_ref().map(Cow::Borrowed)
    }

    fn text_of(&self, key: &str) -> Option<Cow<'_, str>> {
        let attribute = self.attributes().iter().find(|attribute| attribute.key == key)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    fn trace_id(&self) -> &[u8] {
        Item::trace_id(self)
    }

    fn body(&self) -> Option<Cow<'_, AnyValue>> {
        Item::body(self).map(Cow::Borrowed)
    }

    fn severity(&self) -> i32 {
        Item::severity(self)
    }

    fn span(&self) -> Option<SpanView<'_>> {
        let span = Item::span(self)?;
        Some(SpanView {
            name: &span.name,
            kind: span.kind,
            status: span.status.as_ref().map_or(0, |status| status.code),
            start_unix_nano: span.start_time_unix_nano,
            end_unix_nano: span.end_time_unix_nano,
        })
    }
}

/// An item whose values are decoded when a condition asks for them: most items meet no condition, and decoding all values of a
/// span takes longer than deciding about it.
#[derive(Default)]
pub(super) struct EncodedItem<'i> {
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

impl<'i> EncodedItem<'i> {
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

impl ItemView for EncodedItem<'_> {
    fn attribute(&self, key: &str) -> AttributeView<'_> {
        let Some(attribute) = self.encoded_attribute(key) else { return AttributeView::Absent };
        match leaf(attribute) {
            Some(leaf) => AttributeView::Leaf(leaf),
            None => AttributeView::of(self.value_of(key)),
        }
    }

    fn value_of(&self, key: &str) -> Option<Cow<'_, AnyValue>> {
        KeyValue::decode(self.encoded_attribute(key)?).ok()?.value.map(Cow::Owned)
    }

    fn text_of(&self, key: &str) -> Option<Cow<'_, str>> {
        let text = view::text_attribute(self.encoded_attribute(key)?, key)?;
        (!text.is_empty()).then_some(Cow::Borrowed(text))
    }

    fn trace_id(&self) -> &[u8] {
        self.trace_id
    }

    fn body(&self) -> Option<Cow<'_, AnyValue>> {
        AnyValue::decode(self.body?).ok().map(Cow::Owned)
    }

    fn severity(&self) -> i32 {
        self.severity
    }

    fn span(&self) -> Option<SpanView<'_>> {
        self.span
    }
}

/// A span, a log record or a data point.
pub(super) trait Item: prost::Message + Default {
    fn attributes(&self) -> &[KeyValue];

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue>;

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted);

    /// Writes the number of items that the item stands for.
    fn note_sampled(&mut self, sampled: Sampled) {
        note_adjusted_count(self.attributes_mut(), sampled.share.adjusted_count());
    }

    /// Empty if the item belongs to no trace.
    fn trace_id(&self) -> &[u8] {
        &[]
    }

    fn span(&self) -> Option<&Span> {
        None
    }

    fn body(&self) -> Option<&AnyValue> {
        None
    }

    /// 0 if it is not set.
    fn severity(&self) -> i32 {
        0
    }
}

impl Item for Span {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
        redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
        for event in &mut self.events {
            // `tracing` uses the message as the name of the event.
            redaction.text(ItemPart::Events, &mut event.name, redacted);
            redaction.attributes(ItemPart::Events, &mut event.attributes, redacted);
        }
        for link in &mut self.links {
            redaction.attributes(ItemPart::Links, &mut link.attributes, redacted);
        }
        if let Some(status) = &mut self.status {
            redaction.text(ItemPart::Status, &mut status.message, redacted);
        }
        redaction.text(ItemPart::Name, &mut self.name, redacted);
    }

    fn note_sampled(&mut self, sampled: Sampled) {
        let count = note_in_trace_state(&mut self.trace_state, &self.trace_id, sampled);
        note_adjusted_count(&mut self.attributes, count);
    }

    fn trace_id(&self) -> &[u8] {
        &self.trace_id
    }

    fn span(&self) -> Option<&Span> {
        Some(self)
    }
}

impl Item for LogRecord {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
        if let Some(body) = &mut self.body {
            redaction.body(body, &self.attributes, redacted);
        }
        redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
    }

    fn trace_id(&self) -> &[u8] {
        &self.trace_id
    }

    fn body(&self) -> Option<&AnyValue> {
        self.body.as_ref()
    }

    fn severity(&self) -> i32 {
        self.severity_number
    }
}

impl Item for SummaryDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
        redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
    }
}

/// The other three point types have the same fields but no common trait.
macro_rules! point_with_exemplars {
    ($($point:ty),*) => {$(
        impl Item for $point {
            fn attributes(&self) -> &[KeyValue] {
                &self.attributes
            }

            fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
                &mut self.attributes
            }

            fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
                redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
                for Exemplar { filtered_attributes, .. } in &mut self.exemplars {
                    redaction.attributes(ItemPart::Exemplars, filtered_attributes, redacted);
                }
            }
        }
    )*};
}

point_with_exemplars!(NumberDataPoint, HistogramDataPoint, ExponentialHistogramDataPoint);
