//! Conditions of a rule on the origin, the resource and the item.

use super::item::{AttributeView, ItemView, Leaf, SpanView};
use super::route::OriginCondition;
use super::trace::{SeenTraces, TraceConditions};
use crate::source::Origin;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use regex::Regex;
use serde::{Deserialize, Deserializer};
use settings::Pattern;
use std::ops::RangeInclusive;
use wire::{Depth, SignalKind};

/// Conditions that must all hold. The origin and the signal are known before a request is decoded, and the resource before its
/// items.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// `None`: all signals.
    pub(super) signals: Option<Vec<SignalKind>>,
    pub(super) origin: Vec<OriginCondition>,
    pub(super) resource: Vec<AttributeCondition>,
    pub(super) item: Vec<ItemCondition>,
    /// Texts that every request with a matching item contains.
    pub(super) needles: Vec<String>,
}

impl Conditions {
    /// Number of regular expressions.
    pub(super) fn regexes(&self) -> usize {
        let of_items = self.item.iter().filter_map(|condition| match condition {
            ItemCondition::Attribute(it) | ItemCondition::ScopeAttribute(it) => Some(&it.value),
            ItemCondition::ScopeName(value)
            | ItemCondition::Body(value)
            | ItemCondition::SpanName(value)
            | ItemCondition::MetricName(value) => Some(value),
            _ => None,
        });
        let traces = self.item.iter().filter_map(ItemCondition::trace);
        let of_traces = traces.flat_map(|trace| &trace.attributes);
        let attributes = self.resource.iter().chain(of_traces);
        let values = attributes.map(|condition| &condition.value).chain(of_items);
        let tests = values.flat_map(|ValueCondition(tests)| tests);
        tests.filter(|test| matches!(test, Test::Regex(_))).count()
    }

    /// The conditions on traces; at most one.
    pub(super) fn traces_mut(&mut self) -> impl Iterator<Item = &mut TraceConditions> {
        self.item.iter_mut().filter_map(|condition| match condition {
            ItemCondition::Trace(conditions) => Some(&mut **conditions),
            _ => None,
        })
    }

    pub(super) fn asks_traces(&self) -> bool {
        self.item.iter().any(|condition| condition.trace().is_some())
    }

    pub(super) fn includes(&self, kind: SignalKind) -> bool {
        self.signals.as_ref().is_none_or(|signals| signals.contains(&kind))
    }

    pub(super) fn fits_origin(&self, origin: &Origin) -> bool {
        self.origin.iter().all(|condition| condition.is_met(origin))
    }

    /// Returns `false` if no item of this encoded request can meet the conditions.
    pub(super) fn may_be_met_in(&self, request: &[u8]) -> bool {
        let has = |needle: &String| memchr::memmem::find(request, needle.as_bytes()).is_some();
        self.needles.iter().all(has)
    }

    pub(super) fn meets_resource(&self, attributes: &[KeyValue]) -> bool {
        self.resource.iter().all(|condition| condition.is_met(attributes))
    }

    pub(super) fn meets_item(&self, item: &ItemView<'_>, surroundings: &Surroundings<'_>) -> bool {
        self.item.iter().all(|condition| condition.is_met(item, surroundings))
    }
}

/// The name and the attributes of a scope.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) attributes: Vec<KeyValue>,
}

/// What conditions ask about the request around an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) scope: &'a Scope,
    /// Empty unless the item is a data point.
    pub(super) metric_name: &'a str,
    /// The traces of the event; `None` if no rule asks for them.
    pub(super) traces: Option<&'a SeenTraces>,
}

#[derive(Clone, Debug)]
pub(super) enum ItemCondition {
    Attribute(AttributeCondition),
    ScopeAttribute(AttributeCondition),
    ScopeName(ValueCondition),
    Body(ValueCondition),
    /// Ranges of severity numbers.
    Severity(Vec<RangeInclusive<i32>>),
    SpanName(ValueCondition),
    SpanKind(Vec<SpanKind>),
    SpanStatus(Vec<StatusCode>),
    MetricName(ValueCondition),
    Trace(Box<TraceConditions>),
}

impl ItemCondition {
    fn trace(&self) -> Option<&TraceConditions> {
        match self {
            Self::Trace(conditions) => Some(conditions),
            _ => None,
        }
    }

    fn is_met(&self, item: &ItemView<'_>, surroundings: &Surroundings<'_>) -> bool {
        match self {
            Self::Attribute(AttributeCondition { key, value }) => match item.attribute(key) {
                AttributeView::Absent => value.is_met(None),
                AttributeView::Leaf(leaf) => value.is_met_by_leaf(&leaf),
                AttributeView::Value(found) => value.is_met(Some(&found)),
            },
            Self::ScopeAttribute(condition) => condition.is_met(&surroundings.scope.attributes),
            Self::ScopeName(condition) => condition.is_met_by_text(&surroundings.scope.name),
            Self::Body(condition) => condition.is_met(item.body().as_ref()),
            Self::Severity(ranges) => ranges.iter().any(|range| range.contains(&item.severity())),
            Self::SpanName(condition) => {
                item.span().is_some_and(|SpanView { name, .. }| condition.is_met_by_text(name))
            }
            Self::SpanKind(kinds) => {
                item.span().is_some_and(|span| kinds.iter().any(|kind| *kind as i32 == span.kind))
            }
            Self::SpanStatus(codes) => {
                item.span().is_some_and(|span| codes.iter().any(|code| *code as i32 == span.status))
            }
            Self::MetricName(condition) => condition.is_met_by_text(surroundings.metric_name),
            Self::Trace(conditions) => conditions.is_met(surroundings.traces, item),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct AttributeCondition {
    pub(super) key: String,
    pub(super) value: ValueCondition,
}

impl AttributeCondition {
    fn is_met(&self, attributes: &[KeyValue]) -> bool {
        let attribute = attributes.iter().find(|attribute| attribute.key == self.key);
        self.value.is_met(attribute.and_then(|attribute| attribute.value.as_ref()))
    }
}

/// Tests of one value, which must all hold.
#[derive(Clone, Debug)]
pub(super) struct ValueCondition(pub(super) Vec<Test>);

#[derive(Clone, Debug)]
pub(super) enum Test {
    Equals(Vec<Scalar>),
    /// Equal to none of these, or no value.
    Not(Vec<Scalar>),
    Contains(String),
    Regex(Regex),
    Exists(bool),
    Compare {
        /// Compares a value with the limit.
        holds: fn(&f64, &f64) -> bool,
        limit: f64,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string, a number or a boolean")]
pub(super) enum Scalar {
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(#[serde(deserialize_with = "pattern")] Pattern),
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
    String::deserialize(deserializer).map(|text| Pattern::new(&text))
}

impl ValueCondition {
    /// A text that every matching value contains, if there is one.
    pub(super) fn needle(&self) -> Option<&str> {
        let text = self.0.iter().find_map(|test| match test {
            Test::Contains(text) => Some(text.as_str()),
            Test::Equals(scalars) => match scalars.as_slice() {
                [Scalar::Text(pattern)] => Some(pattern.longest_piece()),
                _ => None,
            },
            _ => None,
        });
        // Numbers and booleans are compared as text, but encoded as numbers.
        text.filter(|text| !may_be_of_scalar(text))
    }

    pub(super) fn needs_a_value(&self) -> bool {
        !self.0.iter().all(|test| matches!(test, Test::Not(_) | Test::Exists(false)))
    }

    fn is_met(&self, value: Option<&AnyValue>) -> bool {
        let value = value.and_then(|value| value.value.as_ref());
        self.0.iter().all(|test| test.is_met(value))
    }

    /// Like `is_met`, for a value that is there.
    fn is_met_by_leaf(&self, leaf: &Leaf<'_>) -> bool {
        self.0.iter().all(|test| match test {
            Test::Exists(exists) => *exists,
            Test::Not(scalars) => !scalars.iter().any(|scalar| scalar.equals(leaf)),
            other => other.is_met_by_leaf(leaf),
        })
    }

    fn is_met_by_text(&self, text: &str) -> bool {
        self.0.iter().all(|test| match test {
            Test::Exists(exists) => *exists != text.is_empty(),
            Test::Not(scalars) => !scalars.iter().any(|scalar| scalar.equals(&Leaf::Text(text))),
            other => other.is_met_by_leaf(&Leaf::Text(text)),
        })
    }
}

/// Returns `true` if a text has only characters of numbers, `inf`, `NaN`, `true` and `false`.
fn may_be_of_scalar(text: &str) -> bool {
    const OF_NUMBERS: &str = "0123456789.+-eE";
    const WORDS: [&str; 4] = ["inf", "NaN", "true", "false"];
    text.chars().all(|c| OF_NUMBERS.contains(c) || WORDS.iter().any(|word| word.contains(c)))
}

impl Test {
    pub(super) fn is_met(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Exists(exists) => *exists == value.is_some(),
            Self::Not(scalars) => !value.is_some_and(|value| {
                let is_named = |leaf: &Leaf<'_>| scalars.iter().any(|scalar| scalar.equals(leaf));
                any_leaf(value, &is_named, Depth::OF_VALUES)
            }),
            test => value.is_some_and(|value| {
                any_leaf(value, &|leaf| test.is_met_by_leaf(leaf), Depth::OF_VALUES)
            }),
        }
    }

    fn is_met_by_leaf(&self, leaf: &Leaf<'_>) -> bool {
        match self {
            Self::Equals(scalars) => scalars.iter().any(|scalar| scalar.equals(leaf)),
            Self::Contains(part) => leaf.text().contains(part.as_str()),
            Self::Regex(regex) => regex.is_match(&leaf.text()),
            Self::Compare { holds, limit } => {
                leaf.number().is_some_and(|number| holds(&number, limit))
            }
            // Tests of the whole value, decided earlier.
            Self::Not(_) | Self::Exists(_) => true,
        }
    }
}

impl Scalar {
    fn equals(&self, leaf: &Leaf<'_>) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(&leaf.text()),
            #[expect(clippy::float_cmp, reason = "the rule asks for equality")]
            Self::Number(number) => leaf.number().is_some_and(|value| value == *number),
            Self::Whole(number) => match leaf.whole() {
                Some(value) => value == *number,
                #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "a fraction")]
                None => leaf.number().is_some_and(|value| value == *number as f64),
            },
            Self::Bool(wanted) => match leaf {
                Leaf::Bool(value) => value == wanted,
                leaf => leaf.text() == if *wanted { "true" } else { "false" },
            },
        }
    }
}

/// Returns `true` if a value, or a value inside an array or map, is wanted. Bytes are ignored.
fn any_leaf(value: &Value, is_wanted: &dyn Fn(&Leaf<'_>) -> bool, depth: Depth) -> bool {
    let Some(depth) = depth.below() else { return false };
    let any =
        |value: &AnyValue| value.value.as_ref().is_some_and(|v| any_leaf(v, is_wanted, depth));
    match value {
        Value::StringValue(text) => is_wanted(&Leaf::Text(text)),
        Value::IntValue(number) => is_wanted(&Leaf::Int(*number)),
        Value::DoubleValue(number) => is_wanted(&Leaf::Double(*number)),
        Value::BoolValue(value) => is_wanted(&Leaf::Bool(*value)),
        Value::ArrayValue(array) => array.values.iter().any(any),
        Value::KvlistValue(list) => {
            list.values.iter().filter_map(|attribute| attribute.value.as_ref()).any(any)
        }
        _ => false,
    }
}
