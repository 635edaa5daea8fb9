//! Short notations for items before and after rules.

use crate::support::{Telemetry, pairs, value_text};
use lambda_otlp_forwarder::{Effect, Origin, Report, RuleSet};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use std::fmt::Write as _;
use test_support::openobserve::point_attributes;
use wire::{Logs, Metrics, Request, Signal, Traces};

pub(crate) fn place() -> Origin {
    Origin::new("123456789012", "eu-west-1", "/aws/lambda/orders-api", "2026/09/21/[$LATEST]ab")
}

pub(crate) fn in_group(log_group: &str) -> Origin {
    Origin::new("123456789012", "eu-west-1", log_group, "stream")
}

pub(crate) fn value(text: &str) -> AnyValue {
    let value = match text {
        "true" => Value::BoolValue(true),
        "false" => Value::BoolValue(false),
        text => match (text.parse(), text.parse()) {
            (Ok(number), _) => Value::IntValue(number),
            (_, Ok(number)) => Value::DoubleValue(number),
            _ => Value::StringValue(text.to_owned()),
        },
    };
    AnyValue { value: Some(value) }
}

/// `key=value` pairs with a space between them; `_` in a value is a space.
pub(crate) fn attributes(text: &str) -> Vec<KeyValue> {
    let pair = |pair: &str| {
        let (key, text) = pair.split_once('=').expect("key=value");
        let value = Some(value(&text.replace('_', " ")));
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    };
    text.split_whitespace().map(pair).collect()
}

pub(crate) fn log(severity: i32, body: &str, attributes: &str) -> LogRecord {
    LogRecord {
        severity_number: severity,
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        attributes: self::attributes(attributes),
        ..LogRecord::default()
    }
}

pub(crate) fn in_trace(mut record: LogRecord, trace: u8) -> LogRecord {
    record.trace_id = vec![trace; 16];
    record
}

pub(crate) fn span(trace: u8, name: &str, kind: i32, status: i32, attributes: &str) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![trace; 8],
        name: name.to_owned(),
        kind,
        status: Some(Status { code: status, message: String::new() }),
        attributes: self::attributes(attributes),
        ..Span::default()
    }
}

pub(crate) fn event(name: &str, attributes: &str) -> Event {
    Event { name: name.to_owned(), attributes: self::attributes(attributes), ..Event::default() }
}

pub(crate) fn point(name: &str, attributes: &str) -> Metric {
    let point =
        NumberDataPoint { attributes: self::attributes(attributes), ..NumberDataPoint::default() };
    Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: vec![point] })),
        ..Metric::default()
    }
}

fn resource(attributes: &str) -> Resource {
    Resource { attributes: self::attributes(attributes), ..Resource::default() }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() }
}

pub(crate) fn logs(resource: &str, scope: &str, records: Vec<LogRecord>) -> Request {
    let scope =
        ScopeLogs { scope: Some(self::scope(scope)), log_records: records, ..ScopeLogs::default() };
    let container = ResourceLogs {
        resource: Some(self::resource(resource)),
        scope_logs: vec![scope],
        ..ResourceLogs::default()
    };
    Request::encode::<Logs>(&Logs::request(vec![container]))
}

pub(crate) fn traces(resource: &str, scope: &str, spans: Vec<Span>) -> Request {
    let scope = ScopeSpans { scope: Some(self::scope(scope)), spans, ..ScopeSpans::default() };
    let container = ResourceSpans {
        resource: Some(self::resource(resource)),
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    Request::encode::<Traces>(&Traces::request(vec![container]))
}

pub(crate) fn metrics(resource: &str, metrics: Vec<Metric>) -> Request {
    let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
    let container = ResourceMetrics {
        resource: Some(self::resource(resource)),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    Request::encode::<Metrics>(&Metrics::request(vec![container]))
}

/// The remaining requests, and a report of the rules alone.
pub(crate) fn apply(
    rules: &RuleSet,
    place: &Origin,
    requests: Vec<Request>,
) -> (Vec<Request>, Report) {
    let mut report = Report::default();
    (rules.apply(place, requests, &mut report), report)
}

/// Applies the rules to each request, checks the accounting, and shows the result.
#[track_caller]
pub(crate) fn applied(rules: &RuleSet, place: &Origin, requests: Vec<Request>) -> String {
    let mut out = String::new();
    let items: usize = requests.iter().map(Request::items).sum();
    let (requests, report) = apply(rules, place, requests);
    let left: usize = requests.iter().map(Request::items).sum();
    assert_eq!(items, left + report.dropped_by_rules(), "{report:?}");
    assert_eq!(report.unreadable, 0);
    show(&Telemetry::of(&requests), &mut out);
    for effect in report.rules {
        let Effect { rule, matched, dropped, changed, redacted, replaced_whole: _ } = effect;
        writeln!(
            out,
            "{rule}: {matched} matched, {dropped} dropped, {changed} changed, {redacted} redacted"
        )
        .unwrap();
    }
    out
}

fn show(telemetry: &Telemetry, out: &mut String) {
    for container in &telemetry.traces {
        show_resource(container.resource.as_ref(), out);
        for span in container.scope_spans.iter().flat_map(|scope| &scope.spans) {
            writeln!(out, "span {}{}", span.name, pairs(&span.attributes)).unwrap();
            for event in &span.events {
                writeln!(out, "  event {}{}", event.name, pairs(&event.attributes)).unwrap();
            }
        }
    }
    for container in &telemetry.logs {
        show_resource(container.resource.as_ref(), out);
        for record in container.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let body = value_text(record.body.as_ref());
            let attributes = pairs(&record.attributes);
            writeln!(out, "log {} {body}{attributes}", record.severity_number).unwrap();
        }
    }
    for container in &telemetry.metrics {
        show_resource(container.resource.as_ref(), out);
        for metric in container.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            for attributes in point_attributes(metric.data.as_ref()) {
                writeln!(out, "point {}{}", metric.name, pairs(attributes)).unwrap();
            }
        }
    }
}

fn show_resource(resource: Option<&Resource>, out: &mut String) {
    let attributes = resource.map(|resource| pairs(&resource.attributes));
    writeln!(out, "resource{}", attributes.unwrap_or_default()).unwrap();
}
