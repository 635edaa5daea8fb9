//! Lines that claim to come from another function, in forms that only protobuf has. `deliveries` has the others.

use crate::support::{deliver, line_of, pairs};
use wire::protobuf::Writer;

/// Delivers a line with one span and this resource, and shows the resource that arrives.
fn resource(write: impl FnOnce(&mut Writer<'_>)) -> String {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, write);
        container.message(2, |scope| {
            scope.message(2, |span| {
                span.bytes(1, &[1; 16]);
                span.bytes(2, &[1; 8]);
            });
        });
    });
    let delivered = deliver(&[&line_of(&bytes, "traces")]);
    let [of] = delivered.traces.as_slice() else { panic!("{} resources", delivered.traces.len()) };
    pairs(&of.resource.as_ref().unwrap().attributes)
}

/// Protobuf merges a value in two pieces.
#[test]
fn a_protobuf_value_in_two_pieces_is_checked_as_a_whole() {
    let list = |value: &mut Writer<'_>, text: &str| {
        value.message(5, |list| list.message(1, |element| element.string(1, text)));
    };
    let found = resource(|resource| {
        resource.message(1, |attribute| {
            attribute.string(1, "aws.log.group.names");
            attribute.message(2, |value| list(value, "/aws/lambda/payments"));
            attribute.message(2, |value| list(value, "/aws/lambda/orders"));
        });
        resource.message(1, |attribute| {
            attribute.string(1, "faas");
            attribute.message(2, |value| {
                value.message(6, |map| map.message(1, |inner| inner.string(1, "name")));
            });
            attribute.message(2, |value| value.always_string(1, ""));
        });
    });
    let expected = " aws.log.group.names=/aws/lambda/orders attr_faas=";
    assert!(found.starts_with(expected), "{found}");
}
