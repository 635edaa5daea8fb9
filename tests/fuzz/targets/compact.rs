//! Compact lines.

use super::otlp::check_request;
use std::cell::RefCell;
use wire::compact::{Context, Encoder, decode};
use wire::{Limits, Request, SignalKind};

const CONTEXT: Context<'_> = Context {
    function: "orders-api",
    account: "012345678901",
    log_stream: "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef",
    region: "eu-west-1",
};

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

/// The content of a compact line, and bytes that may be a request, which a line returns unchanged.
pub fn compact(data: &[u8]) {
    if let Ok(requests) = decode(&String::from_utf8_lossy(data), &CONTEXT, &super::otlp::LIMITS) {
        let bytes: usize = requests.iter().map(|request| request.bytes().len()).sum();
        assert!(bytes <= super::otlp::LIMITS.inflated_bytes);
        requests.iter().for_each(check_request);
    }
    for kind in SignalKind::ALL {
        let Ok(request) = Request::check(kind, data.to_vec(), &Limits::default()) else { continue };
        let encode = |encoder: &mut Encoder| encoder.text(&CONTEXT, &[&request, &request]);
        let text = ENCODER.with_borrow_mut(encode);
        let decoded = decode(&text, &CONTEXT, &Limits::default()).unwrap();
        assert_eq!(decoded, [request.clone(), request]);
    }
}
