//! Requests as SDKs send them, for tests.

use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use platform::string_attribute;
use wire::Request;

pub(crate) fn spans(number: usize) -> Request {
    traces(vec![span(vec![7; 8]); number])
}

/// Returns a request with these spans of the service `orders`.
pub(crate) fn traces(spans: Vec<Span>) -> Request {
    let attributes = vec![string_attribute("service.name", "orders")];
    Request::of_spans(Resource { attributes, ..Resource::default() }, spans)
}

pub(crate) fn span(span_id: Vec<u8>) -> Span {
    Span {
        trace_id: vec![3; 16],
        span_id,
        name: "handler".to_owned(),
        kind: 1,
        start_time_unix_nano: 1,
        ..Span::default()
    }
}
