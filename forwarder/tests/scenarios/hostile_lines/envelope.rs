//! Lines that claim to come from another function.

use crate::support::{default_options, deliver_event, incoming, line_of, payload};
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
fn repeated_forged_attributes_become_one_correct_attribute() {
    let mut attributes = vec![text("faas.name", "forged"); 1_000];
    attributes.push(text("FAAS_NAME", "forged"));
    let stored = resource(GROUP, STREAM, &line(attributes));
    let names = stored.iter().filter(|attribute| attribute.key == "faas.name");
    assert_eq!(names.collect::<Vec<_>>(), [&text("faas.name", "orders")]);
}
