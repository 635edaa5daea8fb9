mod columns;
mod metrics;

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

fn attribute(key: &str, text: &str) -> KeyValue {
    value(key, Value::StringValue(text.to_owned()))
}

/// Attributes as `a b=1, c`; a value is `x` unless stated.
fn attributes(text: &str) -> Vec<KeyValue> {
    let parts = text.split(", ").filter(|part| !part.is_empty());
    let pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "x")));
    pairs.map(|(key, text)| attribute(key, text)).collect()
}

fn resource(text: &str) -> Resource {
    Resource { attributes: attributes(text), ..Default::default() }
}

/// The keys, as in [`attributes`].
fn keys_of(attributes: &[KeyValue]) -> String {
    let keys: Vec<&str> = attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    keys.join(", ")
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

fn traces(resource: impl Into<Option<Resource>>, spans: Vec<Span>) -> Request {
    Request::of_spans(resource, spans)
}

fn logs(resource: impl Into<Option<Resource>>, log_records: Vec<LogRecord>) -> Request {
    Request::of_log_records(resource, log_records)
}

fn metrics(metrics: Vec<Metric>) -> Request {
    Request::of_metrics(shop(), metrics)
}

fn metric(data: Data) -> Metric {
    Metric { name: "m".to_owned(), data: Some(data), ..Default::default() }
}

fn point(value: f64, keys: &str) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(keys),
        start_time_unix_nano: 3,
        time_unix_nano: 9,
        value: Some(Number::AsDouble(value)),
        ..Default::default()
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

fn decoded<S: Signal>(sanitized: &Sanitized) -> S::Request {
    sanitized.request.as_ref().unwrap().decode::<S>().unwrap().unwrap()
}

fn shop() -> Resource {
    resource("service.name=shop")
}

/// A record that needs no severity.
fn record() -> LogRecord {
    LogRecord { severity_text: "INFO".to_owned(), ..Default::default() }
}

fn adapted_span(resource: Resource, span: Span) -> Span {
    let mut decoded = decoded::<Traces>(&for_openobserve(&traces(resource, vec![span])));
    decoded.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
}

fn adapted_record(resource: Resource, record: LogRecord) -> LogRecord {
    let mut decoded = decoded::<Logs>(&for_openobserve(&logs(resource, vec![record])));
    decoded.resource_logs.remove(0).scope_logs.remove(0).log_records.remove(0)
}

#[test]
fn valid_requests_pass_unchanged() {
    let resource = || resource("service.name=shop, faas.name=f");
    let parent = Span {
        parent_span_id: vec![3; 8],
        attributes: vec![
            attribute("http.route", "/"),
            map("outer", vec![map("inner", attributes("text"))]),
        ],
        ..span()
    };
    let record = LogRecord { attributes: attributes("a"), ..record() };
    for request in [traces(resource(), vec![span(), parent]), logs(resource(), vec![record])] {
        let sanitized = for_openobserve(&request);
        assert_eq!(sanitized.request, Some(request));
        assert!(sanitized.survey.is_some(), "decoded");
    }
}

#[test]
fn requests_to_other_backends_stay_unchanged() {
    let gauge = Gauge { data_points: vec![point(f64::NAN, "")] };
    for request in [
        metrics(vec![metric(Data::Gauge(gauge))]),
        traces(None, vec![Span { trace_id: vec![1], ..span() }]),
        logs(None, vec![LogRecord::default()]),
    ] {
        let sanitized = sanitize(Profile::Otlp, request.clone(), "fallback");
        assert_eq!(sanitized, whole(request));
    }
}

#[test]
fn every_resource_gets_a_service_name() {
    #[track_caller]
    fn check(given: impl Into<Option<Resource>>, expected: &str) {
        let given = given.into();
        let decoded_traces =
            decoded::<Traces>(&for_openobserve(&traces(given.clone(), vec![span()])));
        let decoded_logs = decoded::<Logs>(&for_openobserve(&logs(given, vec![record()])));
        let found =
            [&decoded_traces.resource_spans[0].resource, &decoded_logs.resource_logs[0].resource];
        assert_eq!(found, [&Some(resource(expected)); 2]);
    }
    check(None, "service.name=fallback");
    check(resource("faas.name=f"), "faas.name=f, service.name=fallback");
    check(resource("service.name="), "service.name=fallback");
    check(resource("service.name=shop"), "service.name=shop");
    let number = vec![value("service.name", Value::IntValue(7))];
    check(Resource { attributes: number, ..Default::default() }, "service.name=fallback");
}

#[test]
fn spans_are_adapted_to_openobserve() {
    #[track_caller]
    fn check(given: Span, expected: Span) {
        let sanitized = for_openobserve(&traces(shop(), vec![given]));
        let decoded = decoded::<Traces>(&sanitized);
        assert_eq!(decoded.resource_spans[0].scope_spans[0].spans, [expected]);
        assert_eq!(dropped_items(&sanitized), 0);
    }
    let ends_early = Span { end_time_unix_nano: 3, ..span() };
    check(ends_early, Span { end_time_unix_nano: 5, ..span() });
    check(Span { end_time_unix_nano: 0, ..span() }, Span { end_time_unix_nano: 5, ..span() });
    check(Span { parent_span_id: vec![0; 8], ..span() }, span());
    check(Span { parent_span_id: vec![1; 16], ..span() }, span());
}

#[test]
fn spans_with_invalid_ids_are_refused_unchanged() {
    // Without a service name, which the adaptation would add.
    let shop = resource("team=shop");
    let invalid = [
        Span { trace_id: vec![1; 8], ..span() },
        Span { span_id: vec![], end_time_unix_nano: 0, ..span() },
        Span { trace_id: vec![0; 16], ..span() },
        Span { span_id: vec![0; 8], ..span() },
    ];
    let mut spans = invalid.to_vec();
    spans.insert(1, span());
    let sanitized = for_openobserve(&traces(shop.clone(), spans));
    assert_eq!(sanitized.refused, Some(traces(shop.clone(), invalid.to_vec())));
    assert_eq!(sanitized.dropped, 0);
    assert_eq!(decoded::<Traces>(&sanitized).resource_spans[0].scope_spans[0].spans, [span()]);
    assert_eq!(for_openobserve(&traces(shop, invalid.to_vec())).request, None);
}

#[test]
fn records_get_a_severity_text() {
    let severity = |severity_number| {
        let record = LogRecord { severity_number, ..Default::default() };
        adapted_record(shop(), record).severity_text
    };
    assert_eq!(
        [1, 5, 8, 9, 12, 13, 16, 17, 24].map(severity),
        ["TRACE", "DEBUG", "DEBUG", "INFO", "INFO", "WARN", "WARN", "ERROR", "FATAL"]
    );
    assert_eq!([0, 25, -1].map(severity), ["UNSPECIFIED"; 3]);
    let record = LogRecord { severity_text: "warning".to_owned(), ..Default::default() };
    assert_eq!(adapted_record(shop(), record).severity_text, "warning");
}

/// Columns of OpenObserve, and of the resource: a span's have the prefix `service_`, a record's and a data point's none.
#[test]
fn item_attributes_never_overwrite_resource_columns() {
    let orders = || resource("service.name=orders, faas.name=orders");
    let span = |resource, keys| {
        let span = Span { attributes: attributes(keys), ..span() };
        keys_of(&adapted_span(resource, span).attributes)
    };
    let record = |resource, keys| {
        let body = map("", attributes("a")).value;
        let record = LogRecord { body, attributes: attributes(keys), ..record() };
        keys_of(&adapted_record(resource, record).attributes)
    };
    assert_eq!(
        span(shop(), "Service.Name, flags, http.route, duration"),
        "attr_Service.Name, attr_flags, http.route, attr_duration"
    );
    assert_eq!(
        record(shop(), "_timestamp, body, severity, service.name, trace_id, body.text"),
        "attr__timestamp, attr_body, attr_severity, attr_service.name, attr_trace_id, body.text"
    );
    let forged = "service.faas_name, faas.name, service_o2";
    assert_eq!(span(orders(), forged), "attr_service.faas_name, faas.name, service_o2");
    assert_eq!(record(orders(), forged), "service.faas_name, attr_faas.name, service_o2");
    // `Http_Route` shares a column with `http.route`, and its new name must not take the column of a resource attribute. So does
    // `body_a` with the entry `a` of the body.
    assert_eq!(
        record(
            resource("service.name, attr_Http_Route=y, attr_body_a=y"),
            "http.route, Http_Route, body_a"
        ),
        "http.route, attr_2_Http_Route, attr_3_body_a"
    );
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
    ])
}

fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let text = prop::sample::select(vec!["", "x"]);
    prop::collection::vec((key(), text).prop_map(|(key, value)| attribute(key, value)), 0..4)
}

proptest! {
    /// The scan without decoding agrees with the rules: a request passes the scan only if no rule changes it.
    #[test]
    fn the_scan_agrees_with_the_sanitizing_rules(
        resource_attributes in any_attributes(),
        span_attributes in any_attributes(),
        (start, end) in (0u64..3, 0u64..3),
        (trace_id, span_id, parent) in (15usize..18, 7usize..10, prop::sample::select(vec![0usize, 8, 16])),
        parent_byte in 0u8..2,
        severity_text in prop::sample::select(vec!["", "INFO"]),
    ) {
        let resource = Some(Resource { attributes: resource_attributes, ..Default::default() });
        let span = Span {
            trace_id: vec![1; trace_id],
            span_id: vec![1; span_id],
            parent_span_id: vec![parent_byte; parent],
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: span_attributes.clone(),
            ..Default::default()
        };
        let (time, observed) = (end, start);
        let record = LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_text: severity_text.to_owned(),
            attributes: span_attributes,
            ..Default::default()
        };

        let request = traces(resource.clone(), vec![span]);
        let mut decoded = request.decode::<Traces>().unwrap().unwrap();
        traces::shape(&mut decoded, "fallback");
        let has_valid_ids = (trace_id, span_id) == (16, 8);
        let needs_nothing = has_valid_ids && Request::encode::<Traces>(&decoded) == request;
        let times = Times { oldest_unix_nano: start, newest_unix_nano: start };
        let survey = scan::needs_nothing(&request);
        prop_assert_eq!(survey.map(|survey| survey.times), needs_nothing.then_some(times));

        let request = logs(resource, vec![record]);
        let mut decoded = request.decode::<Logs>().unwrap().unwrap();
        logs::shape(&mut decoded, "fallback");
        let needs_nothing = Request::encode::<Logs>(&decoded) == request;
        let time = if time == 0 { observed } else { time };
        let times = Times { oldest_unix_nano: time, newest_unix_nano: time };
        let survey = scan::needs_nothing(&request);
        prop_assert_eq!(survey.map(|survey| survey.times), needs_nothing.then_some(times));

        // A second adaptation changes nothing, and each attribute has a column of its own.
        let once = for_openobserve(&request);
        let adapted = super::tests::decoded::<Logs>(&once).resource_logs[0].scope_logs[0].log_records[0].clone();
        let keys: HashSet<String> = adapted.attributes.into_iter().map(|it| it.key).collect();
        let columns: HashSet<Vec<u8>> = keys.iter().map(|key| stored_key(key.as_bytes()).collect()).collect();
        prop_assert!(columns.len() == keys.len() && !columns.contains(b"body".as_slice()), "{:?}", keys);
        let twice = for_openobserve(once.request.as_ref().unwrap());
        prop_assert_eq!((twice.request, twice.dropped), (once.request, once.dropped));
    }
}

/// A resource with very many attributes is indexed, and protects its columns as well.
#[test]
fn a_resource_with_many_attributes_protects_its_columns() {
    let mut attributes: Vec<KeyValue> =
        (0..20_000).map(|n| attribute(&format!("k{n}"), "x")).collect();
    attributes.extend(self::attributes("service.name=orders, faas.name=orders"));
    let resource = Resource { attributes, ..Default::default() };
    let mut forged: Vec<KeyValue> = (0..20_000).map(|n| attribute(&format!("k{n}"), "y")).collect();
    forged.push(attribute("Faas_Name", "forged"));
    let record = LogRecord { attributes: forged, ..Default::default() };
    let attributes = adapted_record(resource, record).attributes;
    assert!(attributes.iter().all(|attribute| attribute.key.starts_with("attr_")));
}

#[test]
fn empty_containers_are_removed() {
    let one = logs(resource(""), vec![LogRecord::default()]);
    let mut bytes = [0x0a, 0].repeat(10_000);
    bytes.extend_from_slice(one.bytes());
    let limits = wire::Limits::default();
    let request = Request::check(SignalKind::Logs, bytes, &limits).unwrap();
    let sent = sanitize(Profile::OpenObserve, request, "orders").request.unwrap();
    assert_eq!(sent, sanitize(Profile::OpenObserve, one, "orders").request.unwrap());
}

#[test]
fn stream_names_are_normalized_like_in_openobserve() {
    let check = |name, expected| assert_eq!(stored_stream(name), expected);
    check("default", "default");
    check("/aws/lambda/My-Fn.Name", "_aws_lambda_my_fn_name");
    check("a--b__c", "a_b__c");
}

fn map(key: &str, values: Vec<KeyValue>) -> KeyValue {
    value(key, Value::KvlistValue(KeyValueList { values }))
}

/// Adapts attributes of a span, a log record and a data point, which get the same ones.
#[track_caller]
fn adapted_attributes(given: &[KeyValue]) -> Vec<KeyValue> {
    let attributes = || given.to_vec();
    let span = adapted_span(shop(), Span { attributes: attributes(), ..span() });
    let record = adapted_record(shop(), LogRecord { attributes: attributes(), ..record() });
    let gauge =
        Gauge { data_points: vec![NumberDataPoint { attributes: attributes(), ..point(1.0, "") }] };
    let gauge = decoded::<Metrics>(&for_openobserve(&metrics(vec![metric(Data::Gauge(gauge))])));
    let gauge = &gauge.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(Data::Gauge(gauge)) = &gauge.data else { panic!("{gauge:?}") };
    assert_eq!(span.attributes, record.attributes);
    assert_eq!(span.attributes, gauge.data_points[0].attributes);
    span.attributes
}

#[test]
fn keys_sharing_a_column_get_distinct_names() {
    let check = |given: &str, expected: &str| {
        assert_eq!(keys_of(&adapted_attributes(&attributes(given))), expected);
    };
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
    // A key that is a renamed one's text, before or behind it.
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

    let adapted = adapted_attributes(&[
        attribute("m.x", "1"),
        map("m", attributes("x=2, y z=3, y-z=4")),
        attribute("M_Y_Z", "5"),
    ]);
    let inner = attributes("attr_x=2, attr_y z=3, attr_2_y-z=4");
    let expected = [attribute("m.x", "1"), map("m", inner), attribute("M_Y_Z", "5")];
    assert_eq!(adapted, expected);
}

#[test]
fn a_map_never_overwrites_a_column_of_its_item() {
    let forged = [map("status", attributes("code")), map("", attributes("o2.id"))];
    let span = adapted_span(shop(), Span { attributes: forged.to_vec(), ..span() });
    assert_eq!(keys_of(&span.attributes), "attr_status, attr_");
}

#[test]
fn resource_and_body_keys_sharing_a_column_are_renamed() {
    let given = || resource("team_a=1, Service_Name, service.name=shop, team.a=2");
    let expected = Some(resource("team_a=1, attr_Service_Name, service.name=shop, attr_team.a=2"));
    let with = |body, keys| {
        let body = map("", attributes(body)).value;
        LogRecord { body, attributes: attributes(keys), ..record() }
    };
    let logs = logs(given(), vec![with("k=1, K=2", "body.k")]);
    let logs = &decoded::<Logs>(&for_openobserve(&logs)).resource_logs[0];
    assert_eq!(logs.resource, expected);
    assert_eq!(logs.scope_logs[0].log_records, [with("k=1, attr_K=2", "attr_body.k")]);
    let spans = decoded::<Traces>(&for_openobserve(&traces(given(), vec![span()])));
    assert_eq!(spans.resource_spans[0].resource, expected);
}

fn value(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
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
        for (given, expected) in of(&value).iter().zip(&of(&attribute("b", text))) {
            assert_eq!(adapted_attributes(&[given.clone()]), [expected.clone()]);
        }
    }
    for number in [f64::MAX, f64::MIN_POSITIVE, -1e300] {
        assert_eq!(adapted_attributes(&[double(number)]), [double(number)]);
    }
    let (given, expected) = (of(&bytes(&[0, 255, 128])), of(&attribute("b", "AP+A")));

    let event = |attributes| Event { attributes, ..Default::default() };
    let link = |attributes| Link { attributes, ..Default::default() };
    let span = |attributes: &[KeyValue]| Span {
        events: vec![event(attributes.to_vec())],
        links: vec![link(attributes.to_vec())],
        ..span()
    };
    assert_eq!(adapted_span(shop(), span(&given)), span(&expected));
    let record = |attribute: &KeyValue| LogRecord { body: attribute.value.clone(), ..record() };
    assert_eq!(adapted_record(shop(), record(&given[0])), record(&expected[0]));
}

#[test]
fn event_and_link_attributes_never_hide_a_field() {
    let with = |events, links| Span {
        events: vec![Event { attributes: attributes(events), ..Default::default() }],
        links: vec![Link { attributes: attributes(links), ..Default::default() }],
        ..span()
    };
    for (given, expected) in [
        (with("name, Name", "name"), with("attr_name, Name", "name")),
        (with("name, attr_name", ""), with("attr_2_name, attr_name", "")),
        (with("a", "context"), with("a", "attr_context")),
    ] {
        assert_eq!(adapted_span(shop(), given), expected);
    }
}
