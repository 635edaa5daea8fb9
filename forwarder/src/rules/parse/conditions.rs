//! Reads `match` and `unless`.

use super::super::condition::{
    AttributeCondition, Conditions, ItemCondition, Scalar, Test, ValueCondition,
};
use super::super::redact::{InvalidPattern, compile};
use super::super::route::OriginCondition;
use super::super::template::OriginField;
use super::super::trace::TraceConditions;
use super::super::value_range::ValueRange;
use super::values::{Known, List, Shape, Text, Word, table};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use wire::SignalKind;
use wire::resource::SERVICE_NAME;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConditionsText {
    signal: Option<List<Known<SignalKind>>>,
    account: Option<List<Text>>,
    region: Option<List<Text>>,
    log_group: Option<List<Text>>,
    log_stream: Option<List<Text>>,
    function: Option<List<Text>>,
    service_name: Option<ValueCondition>,
    resource: BTreeMap<String, ValueCondition>,
    scope_name: Option<ValueCondition>,
    scope: BTreeMap<String, ValueCondition>,
    attributes: BTreeMap<String, ValueCondition>,
    body: Option<ValueCondition>,
    severity: Option<SeverityRanges>,
    span_name: Option<ValueCondition>,
    span_kind: Option<List<Known<SpanKind>>>,
    span_status: Option<List<Known<StatusCode>>>,
    metric_name: Option<ValueCondition>,
    trace: Option<TraceConditions>,
}

/// The conditions on the origin that a table states.
pub(super) struct OriginText {
    pub(super) account: Option<List<Text>>,
    pub(super) region: Option<List<Text>>,
    pub(super) log_group: Option<List<Text>>,
    pub(super) log_stream: Option<List<Text>>,
    pub(super) function: Option<List<Text>>,
}

impl OriginText {
    pub(super) fn conditions(self) -> Vec<OriginCondition> {
        let fields = [
            (OriginField::Account, self.account),
            (OriginField::Region, self.region),
            (OriginField::LogGroup, self.log_group),
            (OriginField::LogStream, self.log_stream),
            (OriginField::Function, self.function),
        ];
        let stated = |(field, list): (OriginField, Option<List<Text>>)| {
            Some(OriginCondition { field, patterns: list?.patterns() })
        };
        fields.into_iter().filter_map(stated).collect()
    }
}

/// The reason why no item can meet the conditions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidConditions {
    #[error("nothing can match: metrics belong to no trace")]
    TraceOfMetrics,
    #[error("nothing can match: one condition is on {kind}, and others are on {others}")]
    SeveralSignals { kind: SignalKind, others: String },
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: ConditionsText = table(deserializer, "a table of conditions")?;
        Self::try_from(text).map_err(Error::custom)
    }
}

impl TryFrom<ConditionsText> for Conditions {
    type Error = InvalidConditions;

    fn try_from(text: ConditionsText) -> Result<Self, InvalidConditions> {
        let origin = OriginText {
            account: text.account,
            region: text.region,
            log_group: text.log_group,
            log_stream: text.log_stream,
            function: text.function,
        };
        let mut resource = conditions(text.resource);
        let scope = conditions(text.scope);
        let attributes = conditions(text.attributes);
        let by_key = resource.iter().chain(&scope).chain(&attributes);
        let mut needles: Vec<String> = by_key
            .filter(|condition| condition.value.needs_a_value())
            .map(|condition| condition.key.clone())
            .collect();
        let of_fields = [&text.scope_name, &text.body, &text.span_name, &text.metric_name];
        let texts = of_fields.into_iter().flatten().filter_map(ValueCondition::needle);
        needles.extend(texts.map(str::to_owned));
        let service_name = text.service_name;
        resource.extend(
            service_name.map(|value| AttributeCondition { key: SERVICE_NAME.to_owned(), value }),
        );
        let mut item: Vec<ItemCondition> =
            scope.into_iter().map(ItemCondition::ScopeAttribute).collect();
        item.extend(attributes.into_iter().map(ItemCondition::Attribute));
        item.extend(text.scope_name.map(ItemCondition::ScopeName));
        let mut signals = text.signal.map(|signals| signals.words());
        if text.trace.is_some() {
            let in_traces = [SignalKind::Traces, SignalKind::Logs];
            let mut wanted = signals.unwrap_or_else(|| in_traces.to_vec());
            wanted.retain(|kind| in_traces.contains(kind));
            if wanted.is_empty() {
                return Err(InvalidConditions::TraceOfMetrics);
            }
            signals = Some(wanted);
        }
        let severity = text.severity.map(|SeverityRanges(it)| ItemCondition::Severity(it));
        let kinds = text.span_kind.map(|kinds| ItemCondition::SpanKind(kinds.words()));
        let codes = text.span_status.map(|codes| ItemCondition::SpanStatus(codes.words()));
        let of_one_signal = [
            (SignalKind::Logs, text.body.map(ItemCondition::Body)),
            (SignalKind::Logs, severity),
            (SignalKind::Traces, text.span_name.map(ItemCondition::SpanName)),
            (SignalKind::Traces, kinds),
            (SignalKind::Traces, codes),
            (SignalKind::Metrics, text.metric_name.map(ItemCondition::MetricName)),
        ];
        let trace = text.trace.map(|trace| ItemCondition::Trace(Box::new(trace)));
        for (kind, condition) in of_one_signal {
            let Some(condition) = condition else { continue };
            // A condition of one signal restricts the rule to that signal.
            if let Some(others) = signals.as_ref().filter(|signals| !signals.contains(&kind)) {
                let names: Vec<&str> = others.iter().map(|signal| signal.as_str()).collect();
                let others = names.join(", ");
                return Err(InvalidConditions::SeveralSignals { kind, others });
            }
            signals = Some(vec![kind]);
            item.push(condition);
        }
        item.extend(trace);
        Ok(Self { signals, origin: origin.conditions(), resource, item, needles })
    }
}

fn conditions(table: BTreeMap<String, ValueCondition>) -> Vec<AttributeCondition> {
    table.into_iter().map(|(key, value)| AttributeCondition { key, value }).collect()
}

impl Word for SignalKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("traces", Self::Traces), ("metrics", Self::Metrics), ("logs", Self::Logs)];
}

impl Word for SpanKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("unspecified", Self::Unspecified),
        ("internal", Self::Internal),
        ("server", Self::Server),
        ("client", Self::Client),
        ("producer", Self::Producer),
        ("consumer", Self::Consumer),
    ];
}

impl Word for StatusCode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("unset", Self::Unset), ("ok", Self::Ok), ("error", Self::Error)];
}

/// The range of severity numbers (OpenTelemetry, "Logs Data Model", field SeverityNumber).
const LOWEST_SEVERITY: i32 = 1;
const HIGHEST_SEVERITY: i32 = 24;

/// The lowest severity number of a level.
#[derive(Clone, Copy)]
struct Level(i32);

impl Level {
    fn is_unspecified(self) -> bool {
        self.0 == 0
    }

    fn lowest(self) -> i32 {
        self.0
    }

    /// Each specified level has four numbers.
    fn highest(self) -> i32 {
        if self.is_unspecified() { 0 } else { self.0 + 3 }
    }
}

impl Word for Level {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("trace", Self(1)),
        ("debug", Self(5)),
        ("info", Self(9)),
        ("warn", Self(13)),
        ("warning", Self(13)),
        ("error", Self(17)),
        ("fatal", Self(21)),
        ("unspecified", Self(0)),
    ];
}

const EMPTY_RANGE: &str = "nothing can match: no value is in this range";

/// Ranges of severity numbers, from levels or a comparison.
struct SeverityRanges(Vec<RangeInclusive<i32>>);

impl<'de> Deserialize<'de> for SeverityRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = Shape::<Known<Level>, ValueRange<Known<Level>>>::deserialize(deserializer)?;
        Ok(Self(match shape {
            Shape::List(levels) => {
                levels.iter().map(|Known(level)| level.lowest()..=level.highest()).collect()
            }
            Shape::Table(ValueRange { above, at_least, below, at_most }) => {
                let levels = [&above, &at_least, &below, &at_most];
                if levels.into_iter().flatten().any(|Known(level)| level.is_unspecified()) {
                    return Err(Error::custom("`unspecified` is below no level and above none"));
                }
                let from = [
                    above.map(|Known(level)| level.highest() + 1),
                    at_least.map(|Known(level)| level.lowest()),
                ];
                let to = [
                    below.map(|Known(level)| level.lowest() - 1),
                    at_most.map(|Known(level)| level.highest()),
                ];
                let lowest = from.into_iter().flatten().fold(LOWEST_SEVERITY, i32::max);
                let highest = to.into_iter().flatten().fold(HIGHEST_SEVERITY, i32::min);
                if lowest > highest {
                    return Err(Error::custom(EMPTY_RANGE));
                }
                vec![lowest..=highest]
            }
        }))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TraceText {
    failed: Option<bool>,
    cold: Option<bool>,
    duration: Option<DurationRange>,
    attributes: BTreeMap<String, ValueCondition>,
}

struct DurationRange(ValueRange<Duration>);

impl<'de> Deserialize<'de> for DurationRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let range: ValueRange<DurationLimit> =
            table(deserializer, "a table, such as { above = \"1s\" }")?;
        let range = range.map(|DurationLimit(duration)| duration);
        if range.has_no_limit() {
            return Err(Error::custom("the table has no test"));
        }
        if range.is_empty() {
            return Err(Error::custom(EMPTY_RANGE));
        }
        Ok(Self(range))
    }
}

struct DurationLimit(Duration);

/// The value is no text of a duration, or has no unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration with its unit (ms, s, m, h or d): \"1s\" or \"250ms\"")]
struct NoDuration;

impl<'de> Deserialize<'de> for DurationLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let no_duration = || Error::custom(NoDuration);
        let text = String::deserialize(deserializer).map_err(|_| no_duration())?;
        // In a variable, a number without a unit is milliseconds. Here it would be taken for seconds.
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        let duration = settings::parse_duration(&text).ok().filter(|_| has_unit);
        duration.map(Self).ok_or_else(no_duration)
    }
}

impl<'de> Deserialize<'de> for TraceConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let TraceText { failed, cold, duration, attributes } =
            table(deserializer, "a table of conditions on the trace")?;
        if failed.is_none() && cold.is_none() && duration.is_none() && attributes.is_empty() {
            return Err(Error::custom(
                "there is no condition: expected failed, cold, duration or attributes",
            ));
        }
        Ok(Self {
            has_failed: failed,
            is_cold: cold,
            duration: duration.map_or_else(ValueRange::default, |DurationRange(range)| range),
            attributes: conditions(attributes),
            first_attribute: 0,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestsTable {
    equals: Option<List<Scalar>>,
    not: Option<List<Scalar>>,
    contains: Option<Text>,
    regex: Option<Expression>,
    exists: Option<bool>,
    above: Option<f64>,
    at_least: Option<f64>,
    below: Option<f64>,
    at_most: Option<f64>,
}

impl<'de> Deserialize<'de> for ValueCondition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tests = match Shape::<Scalar, TestsTable>::deserialize(deserializer)? {
            Shape::List(scalars) => return Ok(Self(vec![Test::Equals(scalars)])),
            Shape::Table(tests) => tests,
        };
        let range = ValueRange {
            above: tests.above,
            at_least: tests.at_least,
            below: tests.below,
            at_most: tests.at_most,
        };
        if range.is_empty() {
            return Err(Error::custom(EMPTY_RANGE));
        }
        let tests = [
            tests.equals.map(|List(scalars)| Test::Equals(scalars)),
            tests.not.map(|List(scalars)| Test::Not(scalars)),
            tests.contains.map(|Text(text)| Test::Contains(text)),
            tests.regex.map(|Expression(regex)| Test::Regex(regex)),
            tests.exists.map(Test::Exists),
            tests.above.map(|limit| Test::Compare { holds: f64::gt, limit }),
            tests.at_least.map(|limit| Test::Compare { holds: f64::ge, limit }),
            tests.below.map(|limit| Test::Compare { holds: f64::lt, limit }),
            tests.at_most.map(|limit| Test::Compare { holds: f64::le, limit }),
        ];
        let stated: Vec<Test> = tests.into_iter().flatten().collect();
        if stated.is_empty() {
            return Err(Error::custom("the table has no test"));
        }
        Ok(Self(stated))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Expression(Regex);

impl TryFrom<String> for Expression {
    type Error = InvalidPattern;

    fn try_from(pattern: String) -> Result<Self, InvalidPattern> {
        compile(&pattern).map(Self)
    }
}
