//! Detects a request of another signal than expected, which protobuf itself does not tell apart.
//!
//! All three requests have resources, scopes and items in fields with the same numbers, and unknown fields are allowed: log
//! records without a time are valid metrics without data points, and gauges may be valid spans. Mandatory fields distinguish them
//! (opentelemetry-proto: the ids of `Span` and the name of `Metric` are required), and a number in `LogRecord` where the two
//! others have bytes.

use super::Limits;
use super::Request;
use super::check::count_checked;
use crate::field::{any_value, container, log_record, metric, request, scope_container, span};
use crate::protobuf::{Reader, messages};
use crate::signal::SignalKind;

impl Request {
    /// Returns the signal of `bytes` if that is certainly not `kind`: an item is invalid for `kind`, and all items are valid for
    /// the other signal.
    pub fn other_signal(kind: SignalKind, bytes: &[u8], limits: &Limits) -> Option<SignalKind> {
        let is_right = items(bytes, limits).all(|message| may_be(kind, message));
        // Metrics without a name are invalid, but nothing of them is lost.
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

/// The spans, metrics or log records, up to the maximum number in a request, because larger requests are refused.
fn items<'b>(bytes: &'b [u8], limits: &Limits) -> impl Iterator<Item = &'b [u8]> + use<'b> {
    let most = limits.messages;
    let resources = messages(bytes, request::CONTAINERS).take(most);
    let scopes = resources.flat_map(|resource| messages(resource, container::SCOPES)).take(most);
    scopes.flat_map(|scope| messages(scope, scope_container::ITEMS)).take(most)
}

fn may_be(kind: SignalKind, message: &[u8]) -> bool {
    match kind {
        SignalKind::Traces => {
            has(message, span::TRACE_ID, |id| id.len() == 16)
                && has(message, span::SPAN_ID, |id| id.len() == 8)
        }
        SignalKind::Metrics => has(message, metric::NAME, |name| !name.is_empty()),
        SignalKind::Logs => !has(message, log_record::TIME, |_| true),
    }
}

/// Returns `true` if this certainly is an item of the signal. A log record has no mandatory field: one without body and
/// attributes could be a metric with only a unit, and the body must be a value, because it has the field number of a span's name.
fn is(kind: SignalKind, message: &[u8]) -> bool {
    let has_content = kind != SignalKind::Logs
        || has(message, log_record::BODY, is_value)
        || has(message, log_record::ATTRIBUTES, |_| true);
    may_be(kind, message) && has_content
}

/// Returns `true` if this begins like an `AnyValue` with a value.
fn is_value(bytes: &[u8]) -> bool {
    let first = Reader::new(bytes).next();
    first.is_some_and(|field| {
        field.is_ok_and(|field| (any_value::STRING..=any_value::BYTES).contains(&field.number))
    })
}

/// Returns `true` if `message` has a bytes field of this number that satisfies the predicate.
fn has(message: &[u8], number: u32, are_so: impl Fn(&[u8]) -> bool) -> bool {
    messages(message, number).any(are_so)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_detection_stops_at_the_message_limit() {
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
