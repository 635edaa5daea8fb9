//! The time that spans spend themselves, without their children.

use super::{Item, PLATFORM_SCOPE};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;

/// Returns the nanoseconds of each span in which none of its children ran. `children`: their places by the id of their parent,
/// the latest first.
pub(super) fn own_times(spans: &[&Item<Span>], children: &BTreeMap<&[u8], Vec<usize>>) -> Vec<u64> {
    let own = |span: &&Item<Span>| {
        let span = &span.item;
        let end = span.end_time_unix_nano;
        let mut covered_to = span.start_time_unix_nano;
        let mut own = 0;
        let below = children.get(span.span_id.as_slice()).into_iter().flatten().rev();
        for child in below.filter_map(|place| spans.get(*place)) {
            let from = child.item.start_time_unix_nano.min(end);
            own += from.saturating_sub(covered_to);
            covered_to = covered_to.max(child.item.end_time_unix_nano);
        }
        own + end.saturating_sub(covered_to)
    };
    spans.iter().map(own).collect()
}

/// Returns the place of the span with the most time of its own. Lambda's own spans do not count, nor a single span.
pub(super) fn slowest(spans: &[&Item<Span>], own_times: &[u64]) -> Option<usize> {
    let of_function = || spans.iter().enumerate().filter(|(_, span)| span.scope != PLATFORM_SCOPE);
    if of_function().count() < 2 {
        return None;
    }
    let timed = of_function().filter_map(|(place, _)| Some((*own_times.get(place)?, place)));
    // The first of several equal ones.
    let slowest = timed.max_by_key(|(own, place)| (*own, std::cmp::Reverse(*place)));
    slowest.filter(|(own, _)| *own > 0).map(|(_, place)| place)
}
