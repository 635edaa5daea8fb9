//! Spans as SDKs send them, for tests.

use wire::protobuf::Writer;
use wire::{Request, SignalKind};

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) id: Vec<u8>,
    pub(crate) parent: Vec<u8>,
    pub(crate) kind: u64,
    pub(crate) request_id: Option<&'static str>,
    pub(crate) start_unix_nano: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self { id: vec![7; 8], parent: Vec::new(), kind: 1, request_id: None, start_unix_nano: 1 }
    }
}

/// Returns a request with these spans of the service `orders`.
pub(crate) fn traces(spans: &[Span]) -> Request {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| attribute(resource, 1, "service.name", "orders"));
        container.message(2, |scope| {
            for span in spans {
                scope.message(2, |out| {
                    out.bytes(1, &[3; 16]);
                    out.bytes(2, &span.id);
                    out.bytes(4, &span.parent);
                    out.string(5, "handler");
                    out.varint(6, span.kind);
                    out.fixed64(7, span.start_unix_nano);
                    if let Some(request_id) = span.request_id {
                        attribute(out, 9, "faas.invocation_id", request_id);
                    }
                });
            }
        });
    });
    Request::trusted(SignalKind::Traces, bytes)
}

/// Returns a request with one item. The requests of all signals have the same nesting.
pub(crate) fn one_item(kind: SignalKind, item: impl FnOnce(&mut Writer<'_>)) -> Request {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes)
        .message(1, |container| container.message(2, |scope| scope.message(2, item)));
    Request::trusted(kind, bytes)
}

fn attribute(out: &mut Writer<'_>, number: u32, key: &str, value: &str) {
    out.message(number, |attribute| {
        attribute.string(1, key);
        attribute.message(2, |any| any.string(1, value));
    });
}
