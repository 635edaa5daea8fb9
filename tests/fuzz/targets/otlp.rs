//! OTLP lines, OTLP/JSON, requests and gzip.

use wire::compact::Context;
use wire::{Joined, Limits, Rejoin, Request, SignalKind, gzip, merge, read_line as read};

/// Small limits, so that the fuzzer reaches them.
pub const LIMITS: Limits = Limits {
    inflated_bytes: 100_000,
    refused_bytes: 100_000,
    nesting: 16,
    items: 100,
    least_item_bytes: 0,
    messages: 10_000,
};

/// Any text as log events of one stream, one per line.
pub fn read_line(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    check_reading(&text);
    let mut rejoin = Rejoin::default();
    for event in text.split('\n') {
        if rejoin.is_waiting() {
            match rejoin.go_on(event, &Context::default(), &LIMITS) {
                Joined::More => continue,
                Joined::Whole(reading) => {
                    assert!(reading.undecodable.is_empty());
                    continue;
                }
                Joined::Broken { .. } => assert!(!rejoin.is_waiting()),
            }
        }
        if let Some(reading) = read(event, &LIMITS) {
            let began = rejoin.begin(event, &reading);
            assert_eq!(began, rejoin.is_waiting());
        }
    }
}

fn check_reading(text: &str) {
    let Some(reading) = read(text, &LIMITS) else { return };
    let found = !reading.decoded.is_empty() || !reading.undecodable.is_empty();
    assert!(found || reading.text.as_deref().is_some_and(|left| left != text), "nothing was found");
    reading.decoded.iter().for_each(check_request);
    for line in &reading.undecodable {
        assert_eq!(line.sha256.len(), 64);
        assert!(line.line.len() <= line.bytes + 4 * text.matches("headers").count());
    }
    let kept = reading.text.as_deref().unwrap_or("x");
    // Without an OTLP line, the text only lost the values of `headers`.
    assert!(!found || kept.trim() == kept, "{kept:?}");
    assert!(!kept.is_empty());
}

/// OTLP/JSON.
pub fn json(data: &[u8]) {
    for kind in SignalKind::ALL {
        match Request::from_json(kind, data, &LIMITS) {
            Ok(request) => {
                assert_eq!(request.kind(), kind);
                check_request(&request);
            }
            Err(error) => assert!(error.to_string().len() < 200),
        }
    }
}

/// Bytes that may be a request.
pub fn request(data: &[u8]) {
    for kind in SignalKind::ALL {
        if let Ok(request) = Request::check(kind, data.to_vec(), &LIMITS) {
            check_request(&request);
        }
    }
}

/// Bytes that may be gzip.
pub fn inflate(data: &[u8]) {
    if let Ok(inflated) = gzip::inflate(data, LIMITS.inflated_bytes) {
        assert!(inflated.len() <= LIMITS.inflated_bytes);
        let again = gzip::inflate(&gzip::compress(6, &inflated), LIMITS.inflated_bytes);
        assert_eq!(again.as_deref(), Ok(inflated.as_slice()));
    }
}

pub fn check_request(request: &Request) {
    assert!(request.items() <= LIMITS.items);
    check_limits(request, LIMITS.inflated_bytes);
}

/// An accepted request is valid for every other reader, within the limit, and splitting and merging lose no item.
pub fn check_limits(request: &Request, max_bytes: usize) {
    assert!(request.bytes().len() <= max_bytes);
    super::events::check(request);
    let items = request.items();
    let (first, second) = request.clone().split_at(items / 2);
    assert_eq!(first.items() + second.items(), items);
    let merged = merge(vec![first, second], usize::MAX);
    assert_eq!(merged.iter().map(Request::items).sum::<usize>(), items);
}
