//! Compact lines decode to the requests that were encoded, and damaged ones to an error.

mod bounds;
mod lines;
mod properties;
mod vectors;

use crate::in_scope;
use lambda_otlp_wire::compact::{CompactError, Context, Encoder, decode};
use lambda_otlp_wire::{Limits, Request, SignalKind, read_line};
use std::cell::RefCell;

const CONTEXT: Context<'_> = Context {
    function: "orders-api",
    account: "012345678901",
    log_stream: "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef",
    region: "eu-west-1",
};

const TELEMETRY: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders-api"}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /orders/{id}","startTimeUnixNano":"1790000000000000001","endTimeUnixNano":"1790000000042000000","attributes":[{"key":"faas.invocation_id","value":{"stringValue":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11"}},{"key":"http.response.status_code","value":{"intValue":"200"}}]}]}]}]}"#;

fn request_of(json: &str) -> Request {
    read_line(json, &Limits::default()).unwrap().decoded.remove(0)
}

/// A request of one span with this name.
fn named(name: &str) -> Request {
    let bytes = in_scope(|scope| scope.message(2, |span| span.string(5, name)));
    Request::trusted(SignalKind::Traces, bytes)
}

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

fn text(requests: &[&Request]) -> String {
    ENCODER.with_borrow_mut(|encoder| encoder.text(&CONTEXT, requests))
}

fn requests(text: &str) -> Result<Vec<Request>, CompactError> {
    decode(text, &CONTEXT, &Limits::default())
}
