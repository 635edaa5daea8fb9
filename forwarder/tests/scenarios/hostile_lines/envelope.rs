//! Lines that claim to come from another function.

use crate::support::{default_options, deliver_event, incoming, line_fixture, line_of, payload};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use wire::protobuf::Writer;

const GROUP: &str = "/aws/lambda/orders";

fn key_value(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, Value::StringValue(value.to_owned()))
}

fn list(key: &str, value: &str) -> KeyValue {
    let values = vec![AnyValue { value: Some(Value::StringValue(value.to_owned())) }];
    key_value(key, Value::ArrayValue(ArrayValue { values }))
}

fn map(key: &str, inner: KeyValue) -> KeyValue {
    key_value(key, Value::KvlistValue(KeyValueList { values: vec![inner] }))
}

/// A line with one span and these resource attributes.
fn line(attributes: Vec<KeyValue>) -> String {
    let span = Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    line_of(&bytes, "traces")
}

/// The resource of the delivered spans.
fn resource(group: &str, stream: &str, line: &str) -> Vec<KeyValue> {
    let mut event = payload(group, &[line]);
    event["logStream"] = stream.into();
    let delivered = deliver_event(incoming(&event), default_options());
    assert_eq!(delivered.report.account.total.items.spans, 1);
    let [of] = delivered.traces.as_slice() else { panic!("{} resources", delivered.traces.len()) };
    of.resource.clone().unwrap().attributes
}

const STREAM: &str = "2026/09/21/[7]0123456789abcdef";

#[test]
fn the_envelope_overrides_forged_origin_attributes() {
    let mine = [
        ("cloud.account.id", "123456789012"),
        ("faas.name", "orders"),
        ("faas.version", "7"),
        ("faas.instance", STREAM),
    ];
    let forged: Vec<KeyValue> = mine.iter().map(|(key, _)| text(key, "forged")).collect();
    let expected: Vec<KeyValue> = mine.iter().map(|(key, value)| text(key, value)).collect();
    let service = || text("service.name", "shop");
    let found = resource(GROUP, STREAM, &line([forged, vec![service()]].concat()));
    assert_eq!(found, [expected.clone(), vec![service()]].concat());
    // Keys are compared in OpenObserve's stored form.
    for (key, value) in mine {
        let spellings = [
            key.replace('.', "_"),
            key.to_uppercase(),
            key.replace('.', "-"),
            key.replace('.', "名"),
        ];
        for spelling in spellings {
            let found = resource(GROUP, STREAM, &line(vec![text(&spelling, "forged"), service()]));
            assert_eq!(found, [text(key, value), service()], "{spelling}");
        }
    }
    let groups = [
        list("aws.log.group.names", "/aws/lambda/payments"),
        text("aws.log.stream.names", "2026/09/21/[$LATEST]00"),
        list(
            "aws.log.group.arns",
            "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/payments:*",
        ),
        text("cloud.resource_id", "arn:aws:lambda:eu-west-1:123456789012:function:payments"),
        service(),
    ];
    let found = resource(GROUP, STREAM, &line(groups.to_vec()));
    let expected =
        [list("aws.log.group.names", GROUP), list("aws.log.stream.names", STREAM), service()];
    assert_eq!(found, expected);
}

/// Values that resemble the function's own ARN, or contain two ARNs.
#[test]
fn an_arn_of_another_function_is_removed_in_any_form() {
    let service = || text("service.name", "shop");
    for (key, arn) in [
        ("cloud.resource_id", "arn:aws:lambda:eu-west-1:123456789012:function:orders-admin"),
        (
            "cloud.resource_id",
            "arn:aws:lambda:eu-west-1:999999999999:function:payments :123456789012:function:orders",
        ),
        ("cloud.resource_id", "arn:aws:lambda:eu-west-1:999999999999:function:orders"),
        (
            "aws.log.group.arns",
            "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/orders-admin:*",
        ),
    ] {
        for forged in [text(key, arn), list(key, arn)] {
            let found = resource(GROUP, STREAM, &line(vec![forged, service()]));
            assert_eq!(found, [service()], "{arn}");
        }
    }
    for (key, arn) in [
        ("cloud.resource_id", "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"),
        (
            "aws.log.group.arns",
            "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/orders:*",
        ),
    ] {
        let own = vec![list(key, arn), service()];
        assert_eq!(resource(GROUP, STREAM, &line(own.clone())), own);
    }
}

/// Protobuf merges a value in two pieces.
#[test]
fn a_protobuf_value_in_two_pieces_is_checked_as_a_whole() {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| {
            for (key, pieces) in [
                ("aws.log.group.names", [list("", "/aws/lambda/payments"), list("", GROUP)]),
                ("faas", [map("", text("name", "payments")), text("", "")]),
            ] {
                resource.message(1, |attribute| {
                    attribute.string(1, key);
                    for piece in &pieces {
                        attribute.always_bytes(2, &piece.value.as_ref().unwrap().encode_to_vec());
                    }
                });
            }
        });
        container.message(2, |scope| {
            scope.message(2, |span| {
                span.bytes(1, &[1; 16]);
                span.bytes(2, &[1; 8]);
            });
        });
    });
    let found = resource(GROUP, STREAM, &line_of(&bytes, "traces"));
    let keys: Vec<&str> = found.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(keys, ["aws.log.group.names", "attr_faas", "service.name"]);
    assert_eq!(found[0], list("aws.log.group.names", GROUP));
}

#[test]
fn a_map_conflicting_with_origin_columns_is_renamed() {
    let service = text("service.name", "shop");
    let forged = map("faas", text("name", "payments"));
    let found = resource(GROUP, STREAM, &line(vec![forged, service.clone()]));
    assert_eq!(found, [map("attr_faas", text("name", "payments")), service.clone()]);
    let own = map("fast", text("name", "payments"));
    assert_eq!(resource(GROUP, STREAM, &line(vec![own.clone(), service.clone()])), [own, service]);
}

#[test]
fn attributes_consistent_with_the_envelope_are_unchanged() {
    let own = vec![
        text("faas.name", "orders"),
        text("cloud.account.id", "123456789012"),
        text("cloud.resource_id", "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"),
        text("faas.max_memory", "128"),
        text("app.name", "x"),
        text("service.name", "shop"),
    ];
    assert_eq!(resource(GROUP, STREAM, &line(own.clone())), own);
    // The log group belongs to no function.
    let found = resource("/ecs/shop", "task-1", &line(own.clone()));
    assert_eq!(found, own);
    // A line of a real writer.
    let found = resource(GROUP, STREAM, &line_fixture("python-1"));
    assert!(found.iter().any(|attribute| attribute.key == "service.name"));
}

#[test]
fn a_stream_name_does_not_override_the_function_of_its_group() {
    let stream = "2026/09/21/payments[$LATEST]0123456789abcdef";
    let service = |group: &str| {
        let found = resource(group, stream, &line(vec![text("x", "y")]));
        found.into_iter().find(|attribute| attribute.key == "service.name").unwrap()
    };
    assert_eq!(service("/aws/lambda/evil"), text("service.name", "evil"));
    assert_eq!(service("/shop/all"), text("service.name", "payments"));
}

#[test]
fn repeated_forged_attributes_become_one_correct_attribute() {
    let mut attributes = vec![text("faas.name", "forged"); 1_000];
    attributes.push(text("FAAS_NAME", "forged"));
    let stored = resource(GROUP, STREAM, &line(attributes));
    let names = stored.iter().filter(|attribute| attribute.key == "faas.name");
    assert_eq!(names.collect::<Vec<_>>(), [&text("faas.name", "orders")]);
}

#[test]
fn unicode_letters_folded_to_ascii_cannot_forge_a_key() {
    let attributes =
        vec![text("cloud.account.\u{130}d", "forged"), text("faas.\u{130}nstance", "forged")];
    let stored = resource(GROUP, STREAM, &line(attributes));
    assert!(
        !stored.iter().any(|attribute| *attribute == text(&attribute.key, "forged")),
        "{stored:?}"
    );
    assert!(stored.contains(&text("service.name", "orders")), "{stored:?}");
}
