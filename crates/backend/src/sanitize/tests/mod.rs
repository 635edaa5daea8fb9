pub(crate) mod metrics;

use super::*;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use proptest::prelude::*;
use std::collections::HashSet;
use wire::{Logs, Metrics, SignalKind};

fn value(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

pub(crate) fn attribute(key: &str, text: &str) -> KeyValue {
    value(key, Value::StringValue(text.to_owned()))
}

pub(crate) fn map(key: &str, values: Vec<KeyValue>) -> KeyValue {
    value(key, Value::KvlistValue(KeyValueList { values }))
}

/// Attributes as `a b=1, c`; a value is `x` unless stated.
pub(crate) fn attributes(text: &str) -> Vec<KeyValue> {
    let parts = text.split(", ").filter(|part| !part.is_empty());
    let pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "x")));
    pairs.map(|(key, text)| attribute(key, text)).collect()
}

pub(crate) fn resource(text: &str) -> Resource {
    Resource { attributes: attributes(text), ..Default::default() }
}

fn shop() -> Resource {
    resource("service.name=shop")
}

fn span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "checkout".to_owned(),
        start_time_unix_nano: 5,
        end_time_unix_nano: 7,
        ..Default::default()
    }
}

/// A record that needs no severity.
pub(crate) fn record() -> LogRecord {
    LogRecord { severity_text: "INFO".to_owned(), ..Default::default() }
}

pub(crate) fn gauge(name: &str, points: impl Iterator<Item = Vec<KeyValue>>) -> Metric {
    let value = Some(Number::AsDouble(1.0));
    let point = |attributes| NumberDataPoint { attributes, value, ..Default::default() };
    let data = Some(Data::Gauge(Gauge { data_points: points.map(point).collect() }));
    Metric { name: name.to_owned(), data, ..Default::default() }
}

fn traces(resource: impl Into<Option<Resource>>, spans: Vec<Span>) -> Request {
    Request::of_spans(resource, spans)
}

pub(crate) fn logs(resource: impl Into<Option<Resource>>, log_records: Vec<LogRecord>) -> Request {
    Request::of_log_records(resource, log_records)
}

/// A request of a resource, and items with these attributes. Data points are of one metric.
pub(crate) fn request(kind: SignalKind, resource: Resource, items: Vec<Vec<KeyValue>>) -> Request {
    let items = items.into_iter();
    match kind {
        SignalKind::Traces => {
            let span = |attributes| Span { attributes, ..span() };
            traces(resource, items.map(span).collect())
        }
        SignalKind::Logs => {
            let record = |attributes| LogRecord { attributes, ..record() };
            logs(resource, items.map(record).collect())
        }
        SignalKind::Metrics => Request::of_metrics(resource, vec![gauge("m", items)]),
    }
}

fn dropped_items(sanitized: &Sanitized) -> usize {
    sanitized.dropped + sanitized.refused.as_ref().map_or(0, Request::items)
}

fn for_openobserve(request: &Request) -> Sanitized {
    let sanitized = sanitize(Profile::OpenObserve, request.clone(), "fallback");
    let left = sanitized.request.as_ref().map_or(0, Request::items);
    assert_eq!(left + dropped_items(&sanitized), request.items(), "every item is sent or counted");
    sanitized
}

#[track_caller]
fn check(given: &Request, expected: &Request) {
    let sanitized = for_openobserve(given);
    assert_eq!(sanitized.request.as_ref().map(Request::to_json), Some(expected.to_json()));
    assert_eq!(dropped_items(&sanitized), 0);
}

/// Checks a span, a log record and a data point with these attributes.
#[track_caller]
fn check_attributes(given: &[KeyValue], expected: &[KeyValue]) {
    for kind in SignalKind::ALL {
        let of = |attributes: &[KeyValue]| request(kind, shop(), vec![attributes.to_vec()]);
        check(&of(given), &of(expected));
    }
}

#[test]
fn valid_requests_pass_unchanged() {
    let resource = || resource("service.name=shop, faas.name=f");
    let nested =
        vec![attribute("http.route", "/"), map("outer", vec![map("inner", attributes("text"))])];
    let parent = Span { parent_span_id: vec![3; 8], attributes: nested, ..span() };
    let logs = request(SignalKind::Logs, resource(), vec![attributes("a")]);
    let metrics =
        request(SignalKind::Metrics, resource(), vec![attributes("a"), attributes("a=y")]);
    for request in [traces(resource(), vec![span(), parent]), logs, metrics] {
        let sanitized = for_openobserve(&request);
        assert_eq!(sanitized.request, Some(request));
    }
}

#[test]
fn requests_to_other_backends_stay_unchanged() {
    for request in [
        request(SignalKind::Metrics, resource(""), vec![attributes("value")]),
        traces(None, vec![Span { trace_id: vec![1], ..span() }]),
        logs(None, vec![LogRecord::default()]),
    ] {
        let sanitized = sanitize(Profile::Otlp, request.clone(), "fallback");
        assert_eq!(sanitized, Sanitized { request: Some(request), ..Sanitized::default() });
    }
}

#[test]
fn every_resource_gets_a_service_name() {
    let number = vec![value("service.name", Value::IntValue(7))];
    for (given, expected) in [
        (None, "service.name=fallback"),
        (Some(resource("faas.name=f")), "faas.name=f, service.name=fallback"),
        (Some(resource("service.name=")), "service.name=fallback"),
        (Some(resource("service.name=shop")), "service.name=shop"),
        (Some(Resource { attributes: number, ..Default::default() }), "service.name=fallback"),
    ] {
        let expected = resource(expected);
        check(&traces(given.clone(), vec![span()]), &traces(expected.clone(), vec![span()]));
        check(&logs(given, vec![record()]), &logs(expected, vec![record()]));
    }
}

#[test]
fn spans_are_adapted_to_openobserve() {
    let ends = |end_time_unix_nano| Span { end_time_unix_nano, ..span() };
    let parent = |parent_span_id| Span { parent_span_id, ..span() };
    for (given, expected) in [
        (ends(3), ends(5)),
        (ends(0), ends(5)),
        (parent(vec![0; 8]), span()),
        (parent(vec![1; 16]), span()),
    ] {
        check(&traces(shop(), vec![given]), &traces(shop(), vec![expected]));
    }
}

/// Returns attributes as `of_text` does, and these numbers.
fn with_numbers(text: &str, numbers: &[(&str, i64)]) -> Vec<KeyValue> {
    let numbers = numbers.iter().map(|(key, number)| value(key, Value::IntValue(*number)));
    attributes(text).into_iter().chain(numbers).collect()
}

#[test]
fn counts_of_what_an_sdk_dropped_are_attributes() {
    let dropped = Span {
        dropped_attributes_count: 3,
        dropped_events_count: 2,
        dropped_links_count: 1,
        attributes: attributes("a, otel.dropped_links_count=9"),
        ..span()
    };
    let counts = [("otel.dropped_attributes_count", 3), ("otel.dropped_events_count", 2)];
    let attributes = with_numbers("a, otel.dropped_links_count=9", &counts);
    check(
        &traces(shop(), vec![span(), dropped]),
        &traces(shop(), vec![span(), Span { attributes, ..span() }]),
    );
}

#[test]
fn the_name_of_an_event_is_an_attribute_unless_another_says_the_same() {
    const PAID: &str = "order.paid";
    let record_of = |event_name: &str, text: &str| LogRecord {
        event_name: event_name.to_owned(),
        attributes: attributes(text),
        ..record()
    };
    for (name, given, left, expected) in [
        (PAID, "a", "", "a, event.name=order.paid"),
        (PAID, "kind=xorder.paid", "", "kind=xorder.paid, event.name=order.paid"),
        (PAID, "kind=order.paid", PAID, "kind=order.paid"),
        (PAID, "event.name=other", PAID, "event.name=other"),
        ("", "a", "", "a"),
    ] {
        let given = logs(shop(), vec![record_of(name, given)]);
        check(&given, &logs(shop(), vec![record_of(left, expected)]));
    }
}

/// Their values decide whether they repeat what the resource says, so records with other values have other shapes.
#[test]
fn an_added_attribute_is_compared_with_the_resource_in_each_record() {
    let resource = || resource("service.name=shop, event.name=paid");
    let named = |name: &str| LogRecord { event_name: name.to_owned(), ..record() };
    let with = |text: &str| LogRecord { attributes: attributes(text), ..record() };
    for (first, second) in [("paid", "sent"), ("sent", "paid")] {
        let expected = |name: &str| match name {
            "paid" => with("event.name=paid"),
            other => with(&format!("attr_event.name={other}")),
        };
        let given = logs(resource(), vec![named(first), named(second)]);
        check(&given, &logs(resource(), vec![expected(first), expected(second)]));
    }
}

#[test]
fn spans_with_invalid_ids_are_refused_unchanged() {
    // Without a service name, which the adaptation would add.
    let team = || resource("team=shop");
    let invalid = [
        Span { trace_id: vec![1; 8], ..span() },
        Span { span_id: vec![], end_time_unix_nano: 0, ..span() },
        Span { trace_id: vec![0; 16], ..span() },
        Span { span_id: vec![0; 8], ..span() },
    ];
    let mut spans = invalid.to_vec();
    spans.insert(1, span());
    let sanitized = for_openobserve(&traces(team(), spans));
    assert_eq!(sanitized.refused, Some(traces(team(), invalid.to_vec())));
    assert_eq!(sanitized.dropped, 0);
    let adapted = resource("team=shop, service.name=fallback");
    assert_eq!(sanitized.request, Some(traces(adapted, vec![span()])));
    assert_eq!(for_openobserve(&traces(team(), invalid.to_vec())).request, None);
}

#[test]
fn records_get_a_severity_text() {
    for (number, given, expected) in [
        (1, "", "TRACE"),
        (5, "", "DEBUG"),
        (8, "", "DEBUG"),
        (9, "", "INFO"),
        (12, "", "INFO"),
        (13, "", "WARN"),
        (16, "", "WARN"),
        (17, "", "ERROR"),
        (24, "", "FATAL"),
        (0, "", "UNSPECIFIED"),
        (25, "", "UNSPECIFIED"),
        (-1, "", "UNSPECIFIED"),
        (9, "INFO", "INFO"),
        (9, "info", "INFO"),
        (10, "NOTICE", "INFO, NOTICE"),
        (9, "Information", "INFO, Information"),
        (17, "SEVERE", "ERROR, SEVERE"),
        (18, "ERROR2", "ERROR, ERROR2"),
        (21, "CRITICAL", "FATAL, CRITICAL"),
        // The number counts if both are there.
        (17, "INFO", "ERROR, INFO"),
        (0, "warning", "WARN, warning"),
        (25, "ERROR+4", "FATAL, ERROR+4"),
        (0, "Error3", "ERROR, Error3"),
        (0, "AUDIT", "AUDIT"),
    ] {
        let (text, own) = expected.split_once(", ").unwrap_or((expected, ""));
        let with = |text: &str, own: &str| LogRecord {
            severity_number: number,
            severity_text: text.to_owned(),
            attributes: match own {
                "" => attributes("a"),
                own => attributes(&format!("lambda_otlp.severity_text={own}, a")),
            },
            ..Default::default()
        };
        let given = logs(shop(), vec![with(given, "")]);
        check(&given, &logs(shop(), vec![with(text, own)]));
        assert!(for_openobserve(&given).facts.is_some(), "decoded");
    }
}

#[test]
fn the_text_of_a_severity_never_replaces_an_attribute() {
    let with = |text: &str, keys| LogRecord {
        severity_number: 17,
        severity_text: text.to_owned(),
        attributes: attributes(keys),
        ..Default::default()
    };
    for (of, given, expected) in [
        (
            "service.name=shop",
            "lambda_otlp.severity_text, lambda-otlp.severity_text=y",
            "attr_lambda_otlp.severity_text, lambda_otlp.severity_text=Severe, attr_2_lambda-otlp.severity_text=y",
        ),
        (
            "service.name=shop, lambda_otlp.severity_text=z",
            "a",
            "a, attr_lambda_otlp.severity_text=Severe",
        ),
    ] {
        let given = logs(resource(of), vec![with("Severe", given)]);
        let sanitized = for_openobserve(&given).request.unwrap().decode::<Logs>().unwrap().unwrap();
        let record = &sanitized.resource_logs[0].scope_logs[0].log_records[0];
        let key = |attribute: &KeyValue| format!("{attribute:?}");
        let mut found: Vec<String> = record.attributes.iter().map(key).collect();
        let mut expected: Vec<String> = attributes(expected).iter().map(key).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}

/// Columns of OpenObserve, and of the resource: a span's have the prefix `service_`, a record's and a data point's none.
#[test]
fn item_attributes_never_overwrite_resource_columns() {
    let with = |keys| {
        let body = map("", attributes("a")).value;
        LogRecord { body, attributes: attributes(keys), ..record() }
    };
    let orders = "service.name=orders, faas.name=orders";
    let forged = "service.faas_name, faas.name, service_o2";
    for (of, given, expected) in [
        (
            "service.name=shop",
            "Service.Name, flags, http.route, duration",
            "attr_Service.Name, attr_flags, http.route, attr_duration",
        ),
        (orders, forged, "attr_service.faas_name, faas.name, service_o2"),
    ] {
        let of = |keys| request(SignalKind::Traces, resource(of), vec![attributes(keys)]);
        check(&of(given), &of(expected));
    }
    for (of, given, expected) in [
        (
            "service.name=shop",
            "_timestamp, body, severity, service.name, trace_id, body.text",
            "attr__timestamp, attr_body, attr_severity, attr_service.name, attr_trace_id, body.text",
        ),
        (orders, forged, "service.faas_name, attr_faas.name, service_o2"),
        // `Http_Route` shares a column with `http.route`, and its new name must not take the column of a resource attribute. So
        // does `body_a` with the entry `a` of the body.
        (
            "service.name, attr_Http_Route=y, attr_body_a=y",
            "http.route, Http_Route, body_a",
            "http.route, attr_2_Http_Route, attr_3_body_a",
        ),
    ] {
        let of = |keys| logs(resource(of), vec![with(keys)]);
        check(&of(given), &of(expected));
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "service.name",
        "name",
        "body",
        "Flags",
        "severity",
        "http.route",
        "Http_Route",
        "trace_id",
        "attr_body",
        "Attr_Body",
        "é",
        "input",
        "output",
        "prompt",
        "gen_ai.operation.name",
        "gen_ai.conversation.id",
        "session.id",
        "gen_ai.usage.cost",
    ])
}

/// Attributes whose columns may be those of numbers of others.
pub(crate) fn any_typed_attributes(levels: u32) -> BoxedStrategy<Vec<KeyValue>> {
    let keys =
        ["took", "Took", "took_number", "took.Number", "Number", "took_text", "took_number_text"];
    let key = prop::sample::select(keys.to_vec());
    let scalars = prop::sample::select(vec![
        Value::StringValue("5".to_owned()),
        Value::BoolValue(true),
        Value::IntValue(5),
        Value::IntValue((1 << 53) + 1),
        Value::DoubleValue(5.0),
        Value::DoubleValue(0.1),
        Value::DoubleValue(f64::INFINITY),
        Value::ArrayValue(ArrayValue::default()),
    ]);
    let values = if levels == 0 {
        scalars.boxed()
    } else {
        let map = |values| Value::KvlistValue(KeyValueList { values });
        prop_oneof![4 => scalars, 1 => any_typed_attributes(levels - 1).prop_map(map)].boxed()
    };
    let attribute = (key, values).prop_map(|(key, of)| value(key, of));
    prop::collection::vec(attribute, 0..4).boxed()
}

proptest! {
    /// A second adaptation changes nothing, and the name of each column says its type.
    #[test]
    fn the_name_of_a_column_decides_its_type(
        resource_attributes in any_typed_attributes(1),
        attributes in any_typed_attributes(3),
        body in any_typed_attributes(2),
        severity_text in prop::sample::select(vec!["INFO", "Warning"]),
    ) {
        let service = attribute("service.name", "shop");
        let resource = Resource {
            attributes: [vec![service], resource_attributes].concat(),
            ..Resource::default()
        };
        let body = (!body.is_empty()).then(|| map("", body)).and_then(|body| body.value);
        let severity_text = severity_text.to_owned();
        let given = logs(resource, vec![LogRecord { severity_text, attributes, body, ..record() }]);
        let once = for_openobserve(&given).request.unwrap();
        prop_assert_eq!(for_openobserve(&once).request, Some(once.clone()));
        let adapted = once.decode::<Logs>().unwrap().unwrap().resource_logs.remove(0);
        let record = adapted.scope_logs[0].log_records[0].clone();
        let of_resource = adapted.resource.unwrap().attributes;
        for attribute in of_resource.into_iter().chain(record.attributes) {
            check_column("", 2, &attribute);
        }
    }
}

fn check_column(path: &str, levels: usize, attribute: &KeyValue) {
    let stored: Vec<u8> = stored_key(attribute.key.as_bytes()).collect();
    let column = format!("{path}{}", String::from_utf8(stored).unwrap());
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()).unwrap() {
        Value::KvlistValue(map) if levels > 0 => {
            let path = format!("{column}_");
            map.values.iter().for_each(|entry| check_column(&path, levels - 1, entry));
        }
        value => {
            let is_number = matches!(value, Value::DoubleValue(_));
            let is_other = matches!(value, Value::IntValue(_) | Value::BoolValue(_));
            let last_word = column.rsplit('_').next();
            assert!(is_number == (last_word == Some("number")) && !is_other, "{column}: {value:?}");
        }
    }
}

pub(crate) fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let text = prop::sample::select(vec!["", "x"]);
    prop::collection::vec((key(), text).prop_map(|(key, value)| attribute(key, value)), 0..4)
}

proptest! {
    /// The times are those of the items, a second adaptation changes nothing, and each attribute has a column of its own.
    #[test]
    fn an_adapted_request_needs_no_second_adaptation(
        resource_attributes in any_attributes(),
        span_attributes in any_attributes(),
        (start, end) in (0u64..3, 0u64..3),
        (trace_id, span_id, parent) in (15usize..18, 7usize..10, prop::sample::select(vec![0usize, 8, 16])),
        parent_byte in 0u8..2,
        severity_text in prop::sample::select(vec!["", "INFO", "Info", "CRITICAL"]),
        event_name in prop::sample::select(vec!["", "", "x"]),
        dropped_links_count in 0u32..2,
    ) {
        let resource = Some(Resource { attributes: resource_attributes, ..Default::default() });
        let span = Span {
            trace_id: vec![1; trace_id],
            span_id: vec![1; span_id],
            parent_span_id: vec![parent_byte; parent],
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: span_attributes.clone(),
            dropped_links_count,
            ..Default::default()
        };
        let time = end;
        let observed = start;
        let record = LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_text: severity_text.to_owned(),
            event_name: event_name.to_owned(),
            attributes: span_attributes,
            ..Default::default()
        };

        let request = traces(resource.clone(), vec![span]);
        let has_valid_ids = (trace_id, span_id) == (16, 8);
        let once = for_openobserve(&request);
        prop_assert_eq!(once.request.is_some(), has_valid_ids);
        prop_assert_eq!(once.refused, (!has_valid_ids).then_some(request));
        if let Some(adapted) = once.request {
            let times = TimeRange { oldest_unix_nano: start, newest_unix_nano: start };
            prop_assert_eq!(once.facts.map(|facts| facts.times), Some(times));
            prop_assert_eq!(for_openobserve(&adapted).request, Some(adapted));
        }

        let request = logs(resource, vec![record]);
        let time = if time == 0 { observed } else { time };
        let times = TimeRange { oldest_unix_nano: time, newest_unix_nano: time };
        let once = for_openobserve(&request);
        prop_assert_eq!(once.facts.map(|facts| facts.times), Some(times));
        let adapted = once.request.as_ref().unwrap().decode::<Logs>().unwrap().unwrap();
        let record = adapted.resource_logs[0].scope_logs[0].log_records[0].clone();
        let keys: HashSet<String> = record.attributes.into_iter().map(|it| it.key).collect();
        let columns: HashSet<Vec<u8>> = keys.iter().map(|key| stored_key(key.as_bytes()).collect()).collect();
        prop_assert!(columns.len() == keys.len() && !columns.contains(b"body".as_slice()), "{:?}", keys);
        let twice = for_openobserve(once.request.as_ref().unwrap());
        prop_assert_eq!((twice.request, twice.dropped), (once.request, once.dropped));
    }
}

/// A resource with very many attributes is indexed, and protects its columns as well.
#[test]
fn a_resource_with_many_attributes_protects_its_columns() {
    let numbered = |prefix: &str, text: &str| -> Vec<KeyValue> {
        (0..20_000).map(|n| attribute(&format!("{prefix}k{n}"), text)).collect()
    };
    let known =
        [numbered("", "x"), attributes("service.name=orders, faas.name=orders, same")].concat();
    let of = |prefix: &str| {
        let resource = Resource { attributes: known.clone(), ..Default::default() };
        let others = attributes(&format!("{prefix}Faas_Name=y, same"));
        request(SignalKind::Logs, resource, vec![[numbered(prefix, "y"), others].concat()])
    };
    check(&of(""), &of("attr_"));
}

#[test]
fn empty_containers_are_removed() {
    let one = logs(resource(""), vec![LogRecord::default()]);
    let mut bytes = [0x0a, 0].repeat(10_000);
    bytes.extend_from_slice(one.bytes());
    let limits = wire::Limits::default();
    let request = Request::check(SignalKind::Logs, bytes, &limits).unwrap();
    assert_eq!(for_openobserve(&request).request, for_openobserve(&one).request);
}

#[test]
fn stream_names_are_normalized_like_in_openobserve() {
    let check = |name, expected| assert_eq!(stored_stream(name), expected);
    check("default", "default");
    check("/aws/lambda/My-Fn.Name", "_aws_lambda_my_fn_name");
    check("a--b__c", "a_b__c");
}

#[test]
fn keys_sharing_a_column_get_distinct_names() {
    let check = |given, expected| check_attributes(&attributes(given), &attributes(expected));
    check("a b, http.route", "a b, http.route");
    // Twice: the second time, the keys are known.
    for _ in 0..2 {
        check("a b, x, a-b, A_B, attr_a_b", "a b, x, attr_2_a-b, attr_3_A_B, attr_a_b");
    }
    // Any number of keys, also beside keys that look renamed.
    check(
        "attr_2_a_b, a b, a-b, A_B, A.b, A-b, a.b",
        "attr_2_a_b, a b, attr_a-b, attr_3_A_B, attr_4_A.b, attr_5_A-b, attr_6_a.b",
    );
    // A key that is a renamed one's text, before or after it.
    check("a b, a-b, attr_a-b", "a b, attr_2_a-b, attr_a-b");
    check("attr_a-b, a b, a-b", "attr_a-b, a b, attr_2_a-b");
    // Known as a column's second key, alone in its item.
    check("a-b", "a-b");
    // The same key twice is one attribute.
    check("a b, a b", "a b, a b");
    // A column of OpenObserve in all signals.
    check(
        "x, _timestamp, attr__timestamp, _Timestamp",
        "x, attr_2__timestamp, attr__timestamp, attr_3__Timestamp",
    );
    // OpenObserve keeps lower-case letters beyond ASCII.
    check("größe, grüße, GRÖSSE, grösse", "größe, grüße, GRÖSSE, attr_grösse");
    check("名, 名2, 前", "名, 名2, attr_前");

    let given =
        [attribute("m.x", "1"), map("m", attributes("x=2, y z=3, y-z=4")), attribute("M_Y_Z", "5")];
    let inner = attributes("attr_x=2, attr_y z=3, attr_2_y-z=4");
    let expected = [attribute("m.x", "1"), map("m", inner), attribute("M_Y_Z", "5")];
    check_attributes(&given, &expected);
}

#[test]
fn a_map_never_overwrites_a_column_of_its_item() {
    let with = |keys: [&str; 2]| {
        let [first, second] = keys;
        let maps = vec![map(first, attributes("code")), map(second, attributes("o2.id"))];
        request(SignalKind::Traces, shop(), vec![maps])
    };
    check(&with(["status", ""]), &with(["attr_status", "attr_"]));
}

#[test]
fn resource_and_body_keys_sharing_a_column_are_renamed() {
    let given = || resource("team_a=1, Service_Name, service.name=shop, team.a=2");
    let expected = || resource("team_a=1, attr_Service_Name, service.name=shop, attr_team.a=2");
    let with = |body, keys| {
        let body = map("", attributes(body)).value;
        vec![LogRecord { body, attributes: attributes(keys), ..record() }]
    };
    let adapted = with("k=1, attr_K=2", "attr_body.k");
    check(&logs(given(), with("k=1, K=2", "body.k")), &logs(expected(), adapted));
    check(&traces(given(), vec![span()]), &traces(expected(), vec![span()]));
}

#[test]
fn values_that_json_lacks_become_text() {
    let double = |number| value("b", Value::DoubleValue(number));
    let bytes = |bytes: &[u8]| value("b", Value::BytesValue(bytes.to_vec()));
    // Alone, in a map and in an array.
    let of = |one: &KeyValue| {
        let array = ArrayValue { values: vec![one.value.clone().unwrap()] };
        [one.clone(), map("map", vec![one.clone()]), value("array", Value::ArrayValue(array))]
    };
    for (value, text) in [
        (double(f64::NAN), "NaN"),
        (double(-f64::NAN), "NaN"),
        (double(f64::INFINITY), "Infinity"),
        (double(f64::NEG_INFINITY), "-Infinity"),
        (bytes(b"abc"), "abc"),
        (bytes(&[0, 255, 128]), "AP+A"),
    ] {
        for (given, expected) in of(&value).into_iter().zip(of(&attribute("b", text))) {
            check_attributes(&[given], &[expected]);
        }
    }
    for number in [f64::MAX, f64::MIN_POSITIVE, -1e300] {
        for kind in [SignalKind::Traces, SignalKind::Metrics] {
            let request = request(kind, shop(), vec![vec![double(number)]]);
            check(&request, &request);
        }
    }
    let given = bytes(&[0, 255, 128]);
    let expected = attribute("b", "AP+A");
    let events = |attributes: &[KeyValue]| {
        let attributes = || attributes.to_vec();
        let events = vec![Event { attributes: attributes(), ..Default::default() }];
        let links = vec![Link { attributes: attributes(), ..Default::default() }];
        traces(shop(), vec![Span { events, links, ..span() }])
    };
    check(&events(&of(&given)), &events(&of(&expected)));
    let body =
        |one: &KeyValue| logs(shop(), vec![LogRecord { body: one.value.clone(), ..record() }]);
    check(&body(&given), &body(&expected));
}

#[test]
fn event_and_link_attributes_never_hide_a_field() {
    let with = |events, links| {
        let events = vec![Event { attributes: attributes(events), ..Default::default() }];
        let links = vec![Link { attributes: attributes(links), ..Default::default() }];
        traces(shop(), vec![Span { events, links, ..span() }])
    };
    for (given, expected) in [
        (with("name, Name", "name"), with("attr_name, Name", "name")),
        (with("name, attr_name", ""), with("attr_2_name, attr_name", "")),
        (with("a", "context"), with("a", "attr_context")),
    ] {
        check(&given, &expected);
    }
}
