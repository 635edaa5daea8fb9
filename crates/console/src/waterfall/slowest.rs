//! The time that spans spend themselves, without their children.

use super::{PLATFORM_SCOPE, Scoped, WaitingSpans};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Returns the nanoseconds of each span in which none of its children ran. `children` has the positions of the children of each
/// span id, the latest first.
pub(super) fn own_times(
    spans: &[&Scoped<Span>],
    children: &BTreeMap<&[u8], Vec<usize>>,
) -> Vec<u64> {
    let own_time = |span: &&Scoped<Span>| {
        let end = span.item.end_time_unix_nano;
        let mut covered_to = span.item.start_time_unix_nano;
        let mut own_time = 0;
        let below = children.get(span.item.span_id.as_slice()).into_iter().flatten().rev();
        for child in below.filter_map(|position| spans.get(*position)) {
            let from = child.item.start_time_unix_nano.min(end);
            own_time += from.saturating_sub(covered_to);
            covered_to = covered_to.max(child.item.end_time_unix_nano);
        }
        own_time + end.saturating_sub(covered_to)
    };
    spans.iter().map(own_time).collect()
}

/// Returns the position of the span with the most time of its own. Lambda's own spans do not count, nor those that last while an
/// execution waits, nor a single span.
pub(super) fn slowest(
    spans: &[&Scoped<Span>],
    own_times: &[u64],
    waiting: &WaitingSpans<'_>,
) -> Option<usize> {
    let is_of_function =
        |span: &Scoped<Span>| span.scope != PLATFORM_SCOPE && !waiting.contains(&span.item);
    let of_function = || spans.iter().enumerate().filter(|(_, span)| is_of_function(span));
    if of_function().count() < 2 {
        return None;
    }
    let own_time = |position: usize| own_times.get(position).copied().unwrap_or(0);
    let positions = of_function().map(|(position, _)| position);
    // The first of several equal ones.
    let slowest = positions.max_by_key(|position| (own_time(*position), Reverse(*position)));
    slowest.filter(|position| own_time(*position) > 0)
}
