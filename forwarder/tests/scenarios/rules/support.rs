//! Short notations for items before and after rules.

use crate::support::{Telemetry, pairs, value_text};
use lambda_otlp_forwarder::{Effect, Origin, Report, RuleSet};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::Event};
use std::fmt::Write as _;
use test_support::openobserve::point_attributes;
use wire::protobuf::Writer;
use wire::{Request, SignalKind};

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

/// A request with these items of one resource and one scope.
fn request(
    kind: SignalKind,
    resource: &str,
    scope: &str,
    items: &[impl prost::Message],
) -> Request {
    let resource = Resource { attributes: attributes(resource), ..Resource::default() };
    let scope = InstrumentationScope { name: scope.to_owned(), ..InstrumentationScope::default() };
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.encoded(1, &resource);
        container.message(2, |out| {
            out.encoded(1, &scope);
            for item in items {
                out.encoded(2, item);
            }
        });
    });
    Request::check(kind, bytes, &wire::Limits::default()).unwrap()
}

pub(crate) fn logs(resource: &str, scope: &str, records: Vec<LogRecord>) -> Request {
    request(SignalKind::Logs, resource, scope, &records)
}

pub(crate) fn traces(resource: &str, scope: &str, spans: Vec<Span>) -> Request {
    request(SignalKind::Traces, resource, scope, &spans)
}

pub(crate) fn metrics(resource: &str, metrics: Vec<Metric>) -> Request {
    request(SignalKind::Metrics, resource, "", &metrics)
}

/// The remaining requests, and a report of the rules alone.
pub(crate) fn apply(
    rules: &RuleSet,
    place: &Origin,
    requests: Vec<Request>,
) -> (Vec<Request>, Report) {
    let mut report = Report::default();
    let traces = rules.trace_reading().map(|mut reading| {
        for request in &requests {
            reading.add(request);
        }
        reading.finish()
    });
    (rules.apply(place, requests, traces.as_ref(), &mut report), report)
}

/// Applies the rules to each request, checks the accounting, and shows the result.
#[track_caller]
pub(crate) fn applied(rules: &RuleSet, place: &Origin, requests: Vec<Request>) -> String {
    let mut out = String::new();
    let items: usize = requests.iter().map(Request::items).sum();
    let (requests, report) = apply(rules, place, requests);
    let left: usize = requests.iter().map(Request::items).sum();
    assert_eq!(items, left + report.dropped_by_rules(), "{report:?}");
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
    let resource = |of: &Option<Resource>| {
        let attributes = of.as_ref().map(|resource| pairs(&resource.attributes));
        format!("resource{}", attributes.unwrap_or_default())
    };
    for container in &telemetry.traces {
        writeln!(out, "{}", resource(&container.resource)).unwrap();
        for span in container.scope_spans.iter().flat_map(|scope| &scope.spans) {
            writeln!(out, "span {}{}", span.name, pairs(&span.attributes)).unwrap();
            for event in &span.events {
                writeln!(out, "  event {}{}", event.name, pairs(&event.attributes)).unwrap();
            }
        }
    }
    for container in &telemetry.logs {
        writeln!(out, "{}", resource(&container.resource)).unwrap();
        for record in container.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let body = value_text(record.body.as_ref());
            let attributes = pairs(&record.attributes);
            writeln!(out, "log {} {body}{attributes}", record.severity_number).unwrap();
        }
    }
    for container in &telemetry.metrics {
        writeln!(out, "{}", resource(&container.resource)).unwrap();
        for metric in container.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            for attributes in point_attributes(metric.data.as_ref()) {
                writeln!(out, "point {}{}", metric.name, pairs(attributes)).unwrap();
            }
        }
    }
}
