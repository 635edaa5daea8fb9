//! Redacts items. Most have nothing to redact. Of the others, only attributes and texts with a possible match are decoded.

use super::{ItemPart, Redacted, Redaction};
use crate::rules::item::read_attributes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use wire::edit::Rewrite;
use wire::field::{
    any_value, data_point, event, exemplar, exponential_histogram_data_point, histogram_data_point,
    link, log_record, span, status,
};
use wire::protobuf::{Value, fields};
use wire::view::{self, ItemKind, key_and_value, may_nest};

/// A field of an item with something to redact.
struct FieldPlace {
    number: u32,
    content: FieldContent,
}

/// The content of a field.
enum FieldContent {
    Attribute(ItemPart),
    Text(ItemPart),
    Body,
    Message(&'static [FieldPlace]),
}

const fn place(number: u32, content: FieldContent) -> FieldPlace {
    FieldPlace { number, content }
}

static SPAN: [FieldPlace; 5] = [
    place(span::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
    place(span::EVENTS, FieldContent::Message(&EVENT)),
    place(span::LINKS, FieldContent::Message(&LINK)),
    place(span::STATUS, FieldContent::Message(&STATUS)),
    place(span::NAME, FieldContent::Text(ItemPart::Name)),
];
static EVENT: [FieldPlace; 2] = [
    // `tracing` uses the message as the name of the event.
    place(event::NAME, FieldContent::Text(ItemPart::Events)),
    place(event::ATTRIBUTES, FieldContent::Attribute(ItemPart::Events)),
];
static LINK: [FieldPlace; 1] = [place(link::ATTRIBUTES, FieldContent::Attribute(ItemPart::Links))];
static STATUS: [FieldPlace; 1] = [place(status::MESSAGE, FieldContent::Text(ItemPart::Status))];
static LOG_RECORD: [FieldPlace; 2] = [
    place(log_record::BODY, FieldContent::Body),
    place(log_record::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
];
static NUMBER_DATA_POINT: [FieldPlace; 2] = [
    place(data_point::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
    place(data_point::EXEMPLARS, FieldContent::Message(&EXEMPLAR)),
];
static SUMMARY_DATA_POINT: [FieldPlace; 1] =
    [place(data_point::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes))];
static HISTOGRAM_DATA_POINT: [FieldPlace; 2] = [
    place(histogram_data_point::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
    place(histogram_data_point::EXEMPLARS, FieldContent::Message(&EXEMPLAR)),
];
static EXPONENTIAL_HISTOGRAM_DATA_POINT: [FieldPlace; 2] = [
    place(
        exponential_histogram_data_point::ATTRIBUTES,
        FieldContent::Attribute(ItemPart::Attributes),
    ),
    place(exponential_histogram_data_point::EXEMPLARS, FieldContent::Message(&EXEMPLAR)),
];
static EXEMPLAR: [FieldPlace; 1] =
    [place(exemplar::FILTERED_ATTRIBUTES, FieldContent::Attribute(ItemPart::Exemplars))];

fn places(kind: ItemKind) -> &'static [FieldPlace] {
    match kind {
        ItemKind::Span => &SPAN,
        ItemKind::LogRecord => &LOG_RECORD,
        ItemKind::NumberDataPoint => &NUMBER_DATA_POINT,
        ItemKind::HistogramDataPoint => &HISTOGRAM_DATA_POINT,
        ItemKind::ExponentialHistogramDataPoint => &EXPONENTIAL_HISTOGRAM_DATA_POINT,
        ItemKind::SummaryDataPoint => &SUMMARY_DATA_POINT,
    }
}

impl Redaction {
    /// Redacts an item. Returns `None` if it stays unchanged.
    pub(in super::super) fn redact_item(
        &self,
        item: view::Item<'_>,
        redacted: &mut Redacted,
    ) -> Option<Vec<u8>> {
        let may_find_text = self.may_find_in(item.bytes);
        let least_number = self.least_number();
        if !may_find_text && least_number.is_none() {
            return None;
        }
        let attributes = if self.body_may_repeat_hidden_value(item) {
            read_attributes(item.attributes())
        } else {
            Vec::new()
        };
        let mut walk =
            ItemWalk { redaction: self, may_find_text, least_number, attributes, redacted };
        walk.message(item.bytes, places(item.kind))
    }

    /// The absolute value of the smallest number that a finder may match; `None` if no finder matches numbers.
    fn least_number(&self) -> Option<u64> {
        /// A payment card has thirteen digits or more, and no number is an address.
        const SMALLEST_CARD: u64 = 1_000_000_000_000;
        if self.finders.iter().any(|finder| !finder.has_needles() && finder.is_expression()) {
            return Some(0);
        }
        let has_functions = self.finders.iter().any(|finder| !finder.has_needles());
        has_functions.then_some(SMALLEST_CARD)
    }

    /// Returns `false` if the item has no body that repeats the value of a hidden key.
    fn body_may_repeat_hidden_value(&self, item: view::Item<'_>) -> bool {
        let may_have_hidden = |attribute: &[u8]| {
            let (key, value) = key_and_value(attribute);
            may_nest(value) || std::str::from_utf8(key).is_ok_and(|key| self.hides(key))
        };
        item.kind == ItemKind::LogRecord
            && !self.keys.is_empty()
            && self.looks_into(ItemPart::Body)
            && self.looks_into(ItemPart::Attributes)
            && item.attributes().any(may_have_hidden)
    }
}

/// Redacts the places of one item.
struct ItemWalk<'r> {
    redaction: &'r Redaction,
    /// `false` if no text of the item has a match.
    may_find_text: bool,
    least_number: Option<u64>,
    /// The item's attributes, if its body may repeat a hidden one of them.
    attributes: Vec<KeyValue>,
    redacted: &'r mut Redacted,
}

impl ItemWalk<'_> {
    /// The redacted message; `None` if it stays unchanged. Other fields stay byte for byte.
    fn message(&mut self, message: &[u8], places: &[FieldPlace]) -> Option<Vec<u8>> {
        let mut rewrite = Rewrite::new(message);
        for field in fields(message) {
            let place = places.iter().find(|place| place.number == field.number);
            let redacted = place
                .zip(field.as_len())
                .and_then(|(place, content)| self.content(content, &place.content));
            match redacted {
                Some(new) => {
                    rewrite.leave_out(&field);
                    rewrite.append().always_bytes(field.number, &new);
                }
                None => rewrite.keep(&field),
            }
        }
        rewrite.finish()
    }

    fn content(&mut self, bytes: &[u8], content: &FieldContent) -> Option<Vec<u8>> {
        match content {
            FieldContent::Attribute(part) => self.attribute(bytes, *part),
            FieldContent::Text(part) => self.text(bytes, *part),
            FieldContent::Body => self.body(bytes),
            FieldContent::Message(places) => self.message(bytes, places),
        }
    }

    fn attribute(&mut self, bytes: &[u8], part: ItemPart) -> Option<Vec<u8>> {
        let (_, value) = key_and_value(bytes);
        let may_change = self.redaction.looks_into(part)
            && (self.may_find_in(bytes) || self.may_be_number(value));
        if !may_change {
            return None;
        }
        let mut attribute = KeyValue::decode(bytes).ok()?;
        let before = *self.redacted;
        self.redaction.attributes(part, std::slice::from_mut(&mut attribute), self.redacted);
        (*self.redacted != before).then(|| attribute.encode_to_vec())
    }

    fn body(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let may_repeat = !self.attributes.is_empty();
        if !may_repeat && !self.may_find_in(bytes) && !self.may_be_number(bytes) {
            return None;
        }
        let mut body = AnyValue::decode(bytes).ok()?;
        let before = *self.redacted;
        self.redaction.body(&mut body, &self.attributes, self.redacted);
        (*self.redacted != before).then(|| body.encode_to_vec())
    }

    fn text(&mut self, bytes: &[u8], part: ItemPart) -> Option<Vec<u8>> {
        if !self.redaction.looks_into(part) || !self.may_find_in(bytes) {
            return None;
        }
        let mut text = std::str::from_utf8(bytes).ok()?.to_owned();
        let before = *self.redacted;
        self.redaction.text(part, &mut text, self.redacted);
        (*self.redacted != before).then(|| text.into_bytes())
    }

    fn may_find_in(&self, bytes: &[u8]) -> bool {
        self.may_find_text && self.redaction.may_find_in(bytes)
    }

    /// Returns `false` if no number of an encoded value is redacted, unless its key is hidden.
    fn may_be_number(&self, value: &[u8]) -> bool {
        let Some(least) = self.least_number else { return false };
        fields(value).any(|field| match (field.number, field.value) {
            (any_value::INT, Value::Varint(number)) => number.cast_signed().unsigned_abs() >= least,
            (any_value::STRING | any_value::BOOL | any_value::DOUBLE | any_value::BYTES, _) => {
                false
            }
            _ => true,
        })
    }
}
