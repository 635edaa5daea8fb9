//! Redacts encoded items. Most have nothing to redact. Of the others, only attributes and texts with a possible match are decoded.

use super::{ItemPart, Redacted, Redaction};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use wire::Depth;
use wire::field::{
    any_value, data_point, event, exemplar, exponential_histogram_data_point, histogram_data_point,
    key_value, link, log_record, span, status,
};
use wire::protobuf::{Value, Writer, fields, messages, plain_attribute};
use wire::view::{self, ItemKind, key_and_value, may_nest};

/// Only a decoder of the whole item should read it: a part is in several pieces or unreadable, or the body may repeat a hidden value.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct NeedsDecoder;

/// A field of an item with something to redact.
struct FieldPlace {
    number: u32,
    content: FieldContent,
    is_repeated: bool,
}

/// The content of a field.
enum FieldContent {
    Attribute(ItemPart),
    Text(ItemPart),
    Body,
    Message(&'static [FieldPlace]),
}

const fn one(number: u32, content: FieldContent) -> FieldPlace {
    FieldPlace { number, content, is_repeated: false }
}

const fn many(number: u32, content: FieldContent) -> FieldPlace {
    FieldPlace { number, content, is_repeated: true }
}

static SPAN: [FieldPlace; 5] = [
    many(span::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
    many(span::EVENTS, FieldContent::Message(&EVENT)),
    many(span::LINKS, FieldContent::Message(&LINK)),
    one(span::STATUS, FieldContent::Message(&STATUS)),
    one(span::NAME, FieldContent::Text(ItemPart::Name)),
];
static EVENT: [FieldPlace; 2] = [
    // `tracing` uses the message as the name of the event.
    one(event::NAME, FieldContent::Text(ItemPart::Events)),
    many(event::ATTRIBUTES, FieldContent::Attribute(ItemPart::Events)),
];
static LINK: [FieldPlace; 1] = [many(link::ATTRIBUTES, FieldContent::Attribute(ItemPart::Links))];
static STATUS: [FieldPlace; 1] = [one(status::MESSAGE, FieldContent::Text(ItemPart::Status))];
static LOG_RECORD: [FieldPlace; 2] = [
    one(log_record::BODY, FieldContent::Body),
    many(log_record::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
];
static NUMBER_DATA_POINT: [FieldPlace; 2] = [
    many(data_point::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
    many(data_point::EXEMPLARS, FieldContent::Message(&EXEMPLAR)),
];
static SUMMARY_DATA_POINT: [FieldPlace; 1] =
    [many(data_point::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes))];
static HISTOGRAM_DATA_POINT: [FieldPlace; 2] = [
    many(histogram_data_point::ATTRIBUTES, FieldContent::Attribute(ItemPart::Attributes)),
    many(histogram_data_point::EXEMPLARS, FieldContent::Message(&EXEMPLAR)),
];
static EXPONENTIAL_HISTOGRAM_DATA_POINT: [FieldPlace; 2] = [
    many(
        exponential_histogram_data_point::ATTRIBUTES,
        FieldContent::Attribute(ItemPart::Attributes),
    ),
    many(exponential_histogram_data_point::EXEMPLARS, FieldContent::Message(&EXEMPLAR)),
];
static EXEMPLAR: [FieldPlace; 1] =
    [many(exemplar::FILTERED_ATTRIBUTES, FieldContent::Attribute(ItemPart::Exemplars))];

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
    /// Redacts an item as its decoded form would be. Returns `None` if it stays unchanged.
    pub(in super::super) fn encoded(
        &self,
        item: view::Item<'_>,
        redacted: &mut Redacted,
    ) -> Result<Option<Vec<u8>>, NeedsDecoder> {
        let may_find_text = self.may_find_in(item.bytes);
        let least_number = self.least_number();
        if !may_find_text && least_number.is_none() {
            return Ok(None);
        }
        if item.kind == ItemKind::LogRecord && self.body_may_repeat_hidden_value(item) {
            return Err(NeedsDecoder);
        }
        let redacted_before = *redacted;
        let mut walk = ItemWalk { redaction: self, may_find_text, least_number, redacted };
        let walked = walk.message(item.bytes, places(item.kind));
        if walked.is_err() {
            *redacted = redacted_before;
        }
        walked
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

    /// Returns `false` if the body of a record repeats no value of a hidden key.
    fn body_may_repeat_hidden_value(&self, record: view::Item<'_>) -> bool {
        let may_have_hidden = |attribute: &[u8]| {
            let (key, value) = key_and_value(attribute);
            may_nest(value) || std::str::from_utf8(key).is_ok_and(|key| self.hides(key))
        };
        !self.keys.is_empty()
            && self.looks_into(ItemPart::Body)
            && self.looks_into(ItemPart::Attributes)
            && record.attributes().any(may_have_hidden)
    }
}

/// Redacts the places of one item.
struct ItemWalk<'r> {
    redaction: &'r Redaction,
    /// `false` if no text of the item has a match.
    may_find_text: bool,
    least_number: Option<u64>,
    redacted: &'r mut Redacted,
}

impl ItemWalk<'_> {
    /// The redacted message; `None` if it stays unchanged. Other fields stay byte for byte.
    fn message(
        &mut self,
        message: &[u8],
        places: &[FieldPlace],
    ) -> Result<Option<Vec<u8>>, NeedsDecoder> {
        let mut rewritten: Option<Vec<u8>> = None;
        let mut copied = 0;
        let mut end = 0;
        let mut seen = 0_u64;
        for field in fields(message) {
            let start = end;
            end += field.raw.len();
            let Some(place) = places.iter().find(|place| place.number == field.number) else {
                continue;
            };
            let content = field.as_len().ok_or(NeedsDecoder)?;
            let bit = 1 << place.number;
            if !place.is_repeated && seen & bit != 0 {
                return Err(NeedsDecoder);
            }
            seen |= bit;
            let Some(new) = self.content(content, &place.content)? else { continue };
            let out = rewritten.get_or_insert_with(|| Vec::with_capacity(message.len()));
            out.extend_from_slice(message.get(copied..start).unwrap_or_default());
            let is_default = new.is_empty() && matches!(place.content, FieldContent::Text(_));
            if !is_default {
                Writer::new(out).always_bytes(field.number, &new);
            }
            copied = end;
        }
        if end < message.len() {
            return Err(NeedsDecoder);
        }
        if let Some(out) = &mut rewritten {
            out.extend_from_slice(message.get(copied..).unwrap_or_default());
        }
        Ok(rewritten)
    }

    fn content(
        &mut self,
        bytes: &[u8],
        content: &FieldContent,
    ) -> Result<Option<Vec<u8>>, NeedsDecoder> {
        match content {
            FieldContent::Attribute(part) => self.attribute(bytes, *part),
            FieldContent::Text(part) => self.text(bytes, *part),
            FieldContent::Body => self.body(bytes),
            FieldContent::Message(places) => self.message(bytes, places),
        }
    }

    fn attribute(&mut self, bytes: &[u8], part: ItemPart) -> Result<Option<Vec<u8>>, NeedsDecoder> {
        if !self.redaction.looks_into(part) {
            return Ok(None);
        }
        let may_change = self.may_find_in(bytes)
            || match plain_attribute(bytes) {
                Some((_, value)) => self.may_be_number(value),
                None => messages(bytes, key_value::VALUE).any(|value| self.may_be_number(value)),
            };
        if !may_change {
            return Ok(None);
        }
        let mut attribute = KeyValue::decode(bytes).map_err(|_| NeedsDecoder)?;
        let before = *self.redacted;
        self.redaction.attributes(part, std::slice::from_mut(&mut attribute), self.redacted);
        Ok((*self.redacted != before).then(|| attribute.encode_to_vec()))
    }

    fn body(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, NeedsDecoder> {
        let may_change = self.redaction.looks_into(ItemPart::Body)
            && (self.may_find_in(bytes) || self.may_be_number(bytes));
        if !may_change {
            return Ok(None);
        }
        let mut body = AnyValue::decode(bytes).map_err(|_| NeedsDecoder)?;
        let before = *self.redacted;
        self.redaction.any_value(&mut body, false, self.redacted, Depth::OF_VALUES);
        Ok((*self.redacted != before).then(|| body.encode_to_vec()))
    }

    fn text(&mut self, bytes: &[u8], part: ItemPart) -> Result<Option<Vec<u8>>, NeedsDecoder> {
        if !self.redaction.looks_into(part) || !self.may_find_in(bytes) {
            return Ok(None);
        }
        let mut text = std::str::from_utf8(bytes).map_err(|_| NeedsDecoder)?.to_owned();
        let before = *self.redacted;
        self.redaction.text(part, &mut text, self.redacted);
        Ok((*self.redacted != before).then(|| text.into_bytes()))
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

#[cfg(test)]
mod tests {
    use super::super::tests::redaction;
    use super::*;
    use crate::rules::item::Item;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::metrics::v1::{
        Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint,
        SummaryDataPoint,
    };
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    use opentelemetry_proto::tonic::trace::v1::{Span, Status};
    use proptest::prelude::*;
    use settings::Pattern;

    const TEXTS: [&str; 12] = [
        "",
        "plain",
        "bob@example.com",
        "10.1.2.3",
        "4111 1111 1111 1111",
        "Bearer 0123456789abcdef",
        "eyJhbGciOiJub25lIn0.e30.",
        r#"{"token":"abc","n":4111111111111111}"#,
        r#"{"a":"\u0062ob\u0040example.com"}"#,
        "bob%40example.com\n",
        "Authorization",
        "Chrome/142.0.0.0 Safari/537.36 and much more text, so that the value is longer than 127 bytes: lorem ipsum dolor sit amet, consectetur",
    ];
    const KEYS: [&str; 6] =
        ["", "a", "authorization", "db.password", "x-amz-security-token", "lambda_otlp.rest"];

    fn any_value() -> impl Strategy<Value = AnyValue> {
        let leaf = prop_oneof![
            (0..TEXTS.len()).prop_map(|at| Kind::StringValue(TEXTS[at].to_owned())),
            prop_oneof![
                Just(200),
                Just(4_111_111_111_111_111),
                Just(-4_111_111_111_111_111),
                any::<i64>()
            ]
            .prop_map(Kind::IntValue),
            any::<bool>().prop_map(Kind::BoolValue),
            Just(Kind::DoubleValue(1.5)),
            (0..TEXTS.len()).prop_map(|at| Kind::BytesValue(TEXTS[at].as_bytes().to_vec())),
        ];
        let value = leaf.prop_recursive(2, 6, 3, |inner| {
            let values = prop::collection::vec(
                inner.prop_map(|value| AnyValue { value: Some(value) }),
                0..3,
            );
            prop_oneof![
                values.clone().prop_map(|values| Kind::ArrayValue(ArrayValue { values })),
                (values, 0..KEYS.len()).prop_map(|(values, key)| {
                    let pair = |value| KeyValue {
                        key: KEYS[key].to_owned(),
                        value: Some(value),
                        ..KeyValue::default()
                    };
                    Kind::KvlistValue(KeyValueList {
                        values: values.into_iter().map(pair).collect(),
                    })
                }),
            ]
        });
        prop::option::of(value).prop_map(|value| AnyValue { value })
    }

    fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
        let pair = (0..KEYS.len(), prop::option::of(any_value())).prop_map(|(key, value)| {
            KeyValue { key: KEYS[key].to_owned(), value, ..KeyValue::default() }
        });
        prop::collection::vec(pair, 0..4)
    }

    fn text() -> impl Strategy<Value = String> {
        (0..TEXTS.len()).prop_map(|at| TEXTS[at].to_owned())
    }

    fn any_redaction() -> impl Strategy<Value = Redaction> {
        let presets = ["email", "ip", "card", "aws_keys", "bearer", "jwt"];
        let all = prop::sample::subsequence(presets.to_vec(), 1..6);
        (all, 0..4_u8, 0..3_usize).prop_map(|(presets, choice, with)| {
            let with = ["****", "", "<{name}>"][with];
            let each = presets.iter().map(|preset| redaction(preset, with));
            let mut all = redaction("jwt", with);
            for one in each {
                all.finders.extend(one.finders);
                all.keys.extend(one.keys);
            }
            match choice {
                0 => {
                    all.keys.push(Pattern::new("*password"));
                    all.has_own_keys = true;
                }
                1 => all.finders.push(super::super::Finder::of_pattern("own", "2[0-9]+").unwrap()),
                2 => all.parts = vec![ItemPart::Name, ItemPart::Body, ItemPart::Events],
                _ => {}
            }
            all
        })
    }

    #[track_caller]
    fn agrees<I: Item>(
        redaction: &Redaction,
        kind: ItemKind,
        mut item: I,
    ) -> Result<(), TestCaseError> {
        let bytes = item.encode_to_vec();
        let mut expected = Redacted::default();
        item.redact(redaction, &mut expected);
        let expected_bytes = item.encode_to_vec();
        let mut redacted = Redacted::default();
        let encoded = redaction.encoded(view::Item::new(kind, &bytes), &mut redacted);
        if let Ok(new) = encoded {
            prop_assert_eq!(redacted, expected);
            prop_assert_eq!(new.is_some(), expected != Redacted::default());
            prop_assert_eq!(new.unwrap_or(bytes), expected_bytes);
        } else {
            prop_assert_eq!(kind, ItemKind::LogRecord);
            prop_assert_eq!(redacted, Redacted::default());
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn an_encoded_item_is_redacted_like_a_decoded_one(
            redaction in any_redaction(),
            attributes in attributes(),
            others in attributes(),
            texts in (text(), text(), text()),
            body in prop::option::of(any_value()),
        ) {
            let (name, event, status) = texts;
            let span = Span {
                trace_id: vec![0x40; 16],
                name,
                attributes: attributes.clone(),
                events: vec![Event { name: event, attributes: others.clone(), ..Event::default() }],
                links: vec![Link { attributes: others.clone(), ..Link::default() }],
                status: Some(Status { message: status, code: 2 }),
                ..Span::default()
            };
            agrees(&redaction, ItemKind::Span, span)?;
            let record = LogRecord { body, attributes: attributes.clone(), ..LogRecord::default() };
            agrees(&redaction, ItemKind::LogRecord, record)?;
            let exemplars = vec![Exemplar { filtered_attributes: others, ..Exemplar::default() }];
            let number = NumberDataPoint {
                attributes: attributes.clone(),
                exemplars: exemplars.clone(),
                ..NumberDataPoint::default()
            };
            agrees(&redaction, ItemKind::NumberDataPoint, number)?;
            let histogram = HistogramDataPoint {
                attributes: attributes.clone(),
                exemplars: exemplars.clone(),
                ..HistogramDataPoint::default()
            };
            agrees(&redaction, ItemKind::HistogramDataPoint, histogram)?;
            let exponential = ExponentialHistogramDataPoint {
                attributes: attributes.clone(),
                exemplars,
                ..ExponentialHistogramDataPoint::default()
            };
            agrees(&redaction, ItemKind::ExponentialHistogramDataPoint, exponential)?;
            let summary = SummaryDataPoint { attributes, ..SummaryDataPoint::default() };
            agrees(&redaction, ItemKind::SummaryDataPoint, summary)?;
        }
    }

    #[test]
    fn an_item_with_a_part_in_several_pieces_needs_a_decoder() {
        let redaction = redaction("email", "****");
        let half = |message: &str| Span {
            status: Some(Status { message: message.to_owned(), code: 0 }),
            name: "bob@example.com".to_owned(),
            ..Span::default()
        };
        let bytes = [half("bob@").encode_to_vec(), half("example.com").encode_to_vec()].concat();
        let truncated = half("bob@example.com").encode_to_vec();
        for bytes in [bytes.as_slice(), truncated.get(..truncated.len() - 1).unwrap()] {
            let mut redacted = Redacted::default();
            let new = redaction.encoded(view::Item::new(ItemKind::Span, bytes), &mut redacted);
            assert_eq!((new, redacted), (Err(NeedsDecoder), Redacted::default()));
        }
    }
}
