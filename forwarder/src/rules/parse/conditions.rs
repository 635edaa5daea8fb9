//! Parses `match` and `unless`.

use super::super::condition::{
    AttributeCondition, Conditions, ItemCondition, Scalar, Test, ValueCondition,
};
use super::super::template::OriginField;
use super::document::{Document, Node, join};
use settings::Pattern;
use std::ops::Range;
use toml::de::DeValue;
use wire::SignalKind;
use wire::resource::SERVICE_NAME;

const KEYS: &[&str] = &[
    "signal",
    "account",
    "region",
    "log_group",
    "log_stream",
    "function",
    "service_name",
    "resource",
    "scope_name",
    "scope",
    "attributes",
    "body",
    "severity",
    "span_name",
    "span_kind",
    "span_status",
    "metric_name",
];

const SPAN_KINDS: &[(&str, i32)] = &[
    ("unspecified", 0),
    ("internal", 1),
    ("server", 2),
    ("client", 3),
    ("producer", 4),
    ("consumer", 5),
];

const SPAN_STATUSES: &[(&str, i32)] = &[("unset", 0), ("ok", 1), ("error", 2)];

/// The lowest severity number of each level (OpenTelemetry, "Logs Data Model", field SeverityNumber); each has four.
const SEVERITIES: &[(&str, i32)] =
    &[("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];

pub(super) fn read<'t>(document: &mut Document<'t>, path: &str, node: &Node<'t>) -> Conditions {
    let mut conditions = Conditions::default();
    let Some(table) = document.table(path, node) else { return conditions };
    document.check_keys(path, table, KEYS);
    let signals: Vec<(&str, SignalKind)> =
        SignalKind::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    if let Some(node) = table.get("signal") {
        let known = document.words(&join(path, "signal"), node, &signals);
        conditions.signals = Some(known);
    }
    for (key, node) in table {
        let (name, at) = (key.get_ref().as_ref(), key.span());
        let key = join(path, name);
        if let Some(field) = OriginField::named(name) {
            conditions.origin.push((field, document.patterns(&key, node)));
            continue;
        }
        match name {
            "service_name" => {
                let value = value(document, &key, node);
                conditions
                    .resource
                    .push(AttributeCondition { key: SERVICE_NAME.to_owned(), value });
            }
            "resource" => {
                let resource = attributes(document, &key, node);
                conditions.needles.extend(resource.iter().filter_map(key_needle));
                conditions.resource.extend(resource);
            }
            "scope" => {
                let scope = attributes(document, &key, node);
                conditions.needles.extend(scope.iter().filter_map(key_needle));
                conditions.item.extend(scope.into_iter().map(ItemCondition::ScopeAttribute));
            }
            "attributes" => {
                let attributes = attributes(document, &key, node);
                conditions.needles.extend(attributes.iter().filter_map(key_needle));
                conditions.item.extend(attributes.into_iter().map(ItemCondition::Attribute));
            }
            name => {
                if let Some((condition, kind)) = item(document, &key, name, node) {
                    conditions.item.push(condition);
                    narrow(document, &mut conditions, kind, &key, at);
                }
            }
        }
    }
    let needles = conditions.item.iter().filter_map(|condition| match condition {
        ItemCondition::Body(value)
        | ItemCondition::SpanName(value)
        | ItemCondition::ScopeName(value)
        | ItemCondition::MetricName(value) => value.needle(),
        _ => None,
    });
    let needles: Vec<String> = needles.map(str::to_owned).collect();
    conditions.needles.extend(needles);
    conditions
}

/// The key, if the condition needs a value.
fn key_needle(condition: &AttributeCondition) -> Option<String> {
    condition.value.needs_a_value().then(|| condition.key.clone())
}

/// Parses a condition that belongs to one signal, and returns the signal.
fn item<'t>(
    document: &mut Document<'t>,
    key: &str,
    name: &str,
    node: &Node<'t>,
) -> Option<(ItemCondition, Option<SignalKind>)> {
    let (traces, metrics, logs) =
        (Some(SignalKind::Traces), Some(SignalKind::Metrics), Some(SignalKind::Logs));
    let condition = match name {
        "scope_name" => (ItemCondition::ScopeName(value(document, key, node)), None),
        "body" => (ItemCondition::Body(value(document, key, node)), logs),
        "severity" => (ItemCondition::Severity(severity(document, key, node)), logs),
        "span_name" => (ItemCondition::SpanName(value(document, key, node)), traces),
        "span_kind" => (ItemCondition::SpanKind(document.words(key, node, SPAN_KINDS)), traces),
        "span_status" => {
            (ItemCondition::SpanStatus(document.words(key, node, SPAN_STATUSES)), traces)
        }
        "metric_name" => (ItemCondition::MetricName(value(document, key, node)), metrics),
        _ => return None,
    };
    Some(condition)
}

/// A condition of one signal restricts the rule to that signal.
fn narrow(
    document: &mut Document<'_>,
    conditions: &mut Conditions,
    kind: Option<SignalKind>,
    key: &str,
    at: Range<usize>,
) {
    let Some(kind) = kind else { return };
    match &conditions.signals {
        Some(signals) if !signals.contains(&kind) && !signals.is_empty() => {
            let signals: Vec<&str> = signals.iter().map(|signal| signal.as_str()).collect();
            let problem = format!(
                "nothing can match: this is a condition on {kind}, and others are on {}",
                signals.join(", ")
            );
            document.mistake(at, key, problem);
        }
        _ => conditions.signals = Some(vec![kind]),
    }
}

fn attributes<'t>(
    document: &mut Document<'t>,
    path: &str,
    node: &Node<'t>,
) -> Vec<AttributeCondition> {
    let Some(table) = document.table(path, node) else { return Vec::new() };
    let mut conditions = Vec::new();
    for (key, node) in table {
        let name = key.get_ref().as_ref();
        let value = value(document, &join(path, name), node);
        conditions.push(AttributeCondition { key: name.to_owned(), value });
    }
    conditions
}

const TESTS: &[&str] =
    &["equals", "not", "contains", "regex", "exists", "above", "at_least", "below", "at_most"];

fn value<'t>(document: &mut Document<'t>, key: &str, node: &Node<'t>) -> ValueCondition {
    let Some(table) = node.get_ref().as_table() else {
        return ValueCondition(vec![Test::Equals(scalars(document, key, node))]);
    };
    if table.is_empty() {
        document.mistake(node.span(), key, format!("no test; there are {}", TESTS.join(", ")));
    }
    let mut tests = Vec::new();
    for (test, node) in table {
        let name = test.get_ref().as_ref();
        let key = join(key, name);
        let number = |document: &mut Document<'t>, test: fn(f64) -> Test| {
            document.number(&key, node).map(test)
        };
        let test = match name {
            "equals" => Some(Test::Equals(scalars(document, &key, node))),
            "not" => Some(Test::Not(scalars(document, &key, node))),
            "contains" => document.string(&key, node).map(|text| Test::Contains(text.to_owned())),
            "regex" => document.regex(&key, node).map(Test::Regex),
            "exists" => document.bool(&key, node).map(Test::Exists),
            "above" => number(document, Test::Above),
            "at_least" => number(document, Test::AtLeast),
            "below" => number(document, Test::Below),
            "at_most" => number(document, Test::AtMost),
            _ => {
                let known = TESTS.join(", ");
                let problem = format!(
                    "unknown test; there are {known}. A key that has dots is written in quotes: \"http.route\""
                );
                document.mistake(test.span(), &key, problem);
                None
            }
        };
        tests.extend(test);
    }
    ValueCondition(tests)
}

fn scalars<'t>(document: &mut Document<'t>, key: &str, node: &Node<'t>) -> Vec<Scalar> {
    let nodes = document.one_or_some(key, node, "a value or a list of values");
    let mut scalars = Vec::new();
    for node in nodes {
        let scalar = match node.get_ref() {
            DeValue::String(text) => Some(Scalar::Text(Pattern::new(text))),
            DeValue::Boolean(value) => Some(Scalar::Bool(*value)),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(whole) => Some(Scalar::Whole(whole)),
                    Err(_) => document.number(key, node).map(Scalar::Number),
                }
            }
            _ => document.number(key, node).map(Scalar::Number),
        };
        scalars.extend(scalar);
    }
    scalars
}

/// Parses a level, a list of levels, or a comparison into ranges of severity numbers.
fn severity<'t>(document: &mut Document<'t>, key: &str, node: &Node<'t>) -> Vec<(i32, i32)> {
    let levels: Vec<(&str, i32)> =
        SEVERITIES.iter().copied().chain([("warning", 13), ("unspecified", 0)]).collect();
    let range = |lowest: i32| if lowest == 0 { (0, 0) } else { (lowest, lowest + 3) };
    let Some(table) = node.get_ref().as_table() else {
        return document.words(key, node, &levels).into_iter().map(range).collect();
    };
    let tests = ["above", "at_least", "below", "at_most"];
    document.check_keys(key, table, &tests);
    let (mut from, mut to) = (1, 24);
    for (test, node) in table {
        let name = test.get_ref().as_ref();
        let key = join(key, name);
        if !tests.contains(&name) {
            continue;
        }
        let Some(text) = document.string(&key, node) else { continue };
        let Some(lowest) = document.word(&key, text, node.span(), SEVERITIES) else { continue };
        match name {
            "above" => from = from.max(lowest + 4),
            "at_least" => from = from.max(lowest),
            "below" => to = to.min(lowest - 1),
            _ => to = to.min(lowest + 3),
        }
    }
    vec![(from, to)]
}
