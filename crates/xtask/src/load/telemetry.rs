//! Numbered telemetry. A number stands as `#00001234#` in the body of a log record or the name of a span.

use crate::checks::{delivery, unix_nanos};
use std::ops::Range;
use wire::protobuf::Writer;
use wire::{Envelope, LineEncoder, LineLimits, Request, SignalKind};

/// Every tenth line is an OTLP line with this many spans.
const SPANS: u32 = 3;

/// An event of the subscription.
pub(super) struct Event {
    pub(super) json: String,
    /// Bytes of its log lines.
    pub(super) bytes: u64,
    pub(super) numbers: Range<u32>,
}

/// The event of a log group, with this number of lines.
pub(super) fn event(index: u32, line_count: u32) -> Event {
    let items = line_count / 10 * (9 + SPANS);
    let numbers = index * items..(index + 1) * items;
    let mut encoder = LineEncoder::new(6, LineLimits::default());
    let envelope = Envelope { source: "checkout", ..Envelope::default() };
    let mut number = numbers.start;
    let mut lines = Vec::new();
    for line in 0..line_count {
        if line % 10 == 0 {
            let mut text = Vec::new();
            let _written = encoder.encode(&envelope, spans(number..number + SPANS), &mut text);
            number += SPANS;
            lines.push(String::from_utf8_lossy(&text).into_owned());
        } else {
            lines.push(format!(
                "INFO #{number:08}# checkout: order of customer {} with 17 items was paid in 12 ms, cart c-{}, warehouse north, \
                 carrier parcel, no voucher, risk low\n",
                number.wrapping_mul(2_654_435_761) % 1_000_000,
                number.wrapping_mul(40_503) % 100_000,
            ));
            number += 1;
        }
    }
    let bytes = lines.iter().map(|line| line.len() as u64).sum();
    let group = format!("/aws/lambda/checkout-{index}");
    let stream = format!("2026/11/23/[$LATEST]{index:032x}");
    let json = delivery(&group, &stream, unix_nanos(), &lines).to_string();
    Event { json, bytes, numbers }
}

/// A request with a span for each number.
pub(super) fn spans(numbers: Range<u32>) -> Request {
    let now = unix_nanos();
    let mut request = Vec::new();
    Writer::new(&mut request).message(1, |container| {
        container.message(1, |resource| attribute(resource, 1, "service.name", "checkout"));
        container.message(2, |scope| {
            for number in numbers {
                scope.message(2, |span| {
                    span.bytes(1, &u128::from(number + 1).to_be_bytes());
                    span.bytes(2, &u64::from(number + 1).to_be_bytes());
                    span.string(5, &format!("#{number:08}#"));
                    span.fixed64(7, now);
                    span.fixed64(8, now + 1_000_000);
                    for key in ["http.route", "db.operation.name", "messaging.destination.name"] {
                        attribute(span, 9, key, "orders");
                    }
                });
            }
        });
    });
    Request::trusted(SignalKind::Traces, request)
}

fn attribute(message: &mut Writer<'_>, number: u32, key: &str, text: &str) {
    message.message(number, |attribute| {
        attribute.string(1, key);
        attribute.message(2, |value| value.string(1, text));
    });
}
