//! Tells that bytes are a request of another signal than they should be, which protobuf does not say by itself.
//!
//! All three requests hold resources, scopes, and messages below them in fields of the same numbers, and fields that nobody knows
//! pass: log records without a time are metrics without data points, and gauges may be spans. What tells them apart is what
//! each of these messages has to have (opentelemetry-proto: the ids of `Span` and the name of `Metric` are required), and
//! that `LogRecord` has a number where the two others have bytes.

use super::Request;
use super::check::count_checked;
use super::limits::Limits;
use crate::protobuf::{Reader, messages};
use crate::signal::SignalKind;

/// Field numbers, the same in each request: its resources, their scopes, and the spans, metrics or log records of these.
const RESOURCES: u32 = 1;
const SCOPES: u32 = 2;
const ITEMS: u32 = 2;

impl Request {
    /// The signal that `bytes` are a request of, where that is certainly not `kind`: something in them is no span, metric or log
    /// record as each of them has to be, and all of it is one of the other signal.
    pub fn other_signal(kind: SignalKind, bytes: &[u8], limits: &Limits) -> Option<SignalKind> {
        let is_right = items(bytes, limits).all(|message| may_be(kind, message));
        // Metrics without a name are wrong, but nothing of them is lost.
        let has_points = || {
            kind == SignalKind::Metrics
                && count_checked(kind, bytes, limits).is_ok_and(|points| points > 0)
        };
        if is_right || has_points() {
            return None;
        }
        SignalKind::ALL.into_iter().filter(|other| *other != kind).find(|other| {
            items(bytes, limits).all(|message| is(*other, message))
                && count_checked(*other, bytes, limits).is_ok_and(|items| items > 0)
        })
    }
}

/// The spans, metrics or log records. It reads at most as many as a request may hold, because larger requests are refused.
fn items<'b>(bytes: &'b [u8], limits: &Limits) -> impl Iterator<Item = &'b [u8]> + use<'b> {
    let most = limits.messages;
    let resources = messages(bytes, RESOURCES).take(most);
    let scopes = resources.flat_map(|resource| messages(resource, SCOPES)).take(most);
    scopes.flat_map(|scope| messages(scope, ITEMS)).take(most)
}

/// Whether this may be a span, a metric or a log record, as the signal has them.
fn may_be(kind: SignalKind, message: &[u8]) -> bool {
    match kind {
        SignalKind::Traces => {
            has(message, 1, |id| id.len() == 16) && has(message, 2, |id| id.len() == 8)
        }
        SignalKind::Metrics => has(message, 1, |name| !name.is_empty()),
        SignalKind::Logs => !has(message, 1, |_| true),
    }
}

/// Whether this is one. A log record need not have anything: one without body and attributes could be a metric of which nothing
/// is known but its unit, and the body has to be a value, since the name of a span stands in the same place.
fn is(kind: SignalKind, message: &[u8]) -> bool {
    let has_content =
        kind != SignalKind::Logs || has(message, 5, is_value) || has(message, 6, |_| true);
    may_be(kind, message) && has_content
}

/// Whether this begins as an `AnyValue` with a value does.
fn is_value(bytes: &[u8]) -> bool {
    let first = Reader::new(bytes).next();
    first.is_some_and(|field| field.is_ok_and(|field| (1..=7).contains(&field.number)))
}

/// Whether `message` has a field of this number whose bytes are so.
fn has(message: &[u8], number: u32, are_so: impl Fn(&[u8]) -> bool) -> bool {
    messages(message, number).any(are_so)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_looked_at_than_a_request_may_hold() {
        let limits = Limits { messages: 10, ..Limits::default() };
        // Resources with a scope that has an item, and resources without any before one of these.
        let one = [10, 4, 18, 2, 18, 0];
        assert_eq!(items(&one.repeat(9), &limits).count(), 9);
        assert_eq!(items(&one.repeat(100), &limits).count(), 10);
        let after = |empty: usize| [[10, 0].repeat(empty), one.to_vec()].concat();
        assert_eq!(items(&after(9), &limits).count(), 1);
        assert_eq!(items(&after(10), &limits).count(), 0);
    }
}
