//! A fast check that a request has few columns, as nearly all requests have.

use super::{LOG_ATTRIBUTE, LOG_BODY, SPAN_ATTRIBUTE, points};
use crate::sanitize::fields::{
    CONTAINER, ITEM, RESOURCE, RESOURCE_ATTRIBUTE, SCOPE, fields, holds_map, key_and_value,
    may_nest,
};
use std::collections::HashSet;
use wire::SignalKind;
use wire::protobuf::messages;

/// Returns `true` if all items of a request together have at most `max_columns` different keys. `false` is inconclusive, because
/// maps have more columns than keys.
pub(super) fn are_few(kind: SignalKind, request: &[u8], max_columns: usize) -> bool {
    let mut keys =
        SeenKeys { recent: [&[]; RECENT], all: HashSet::from([[].as_slice()]), max_columns };
    // Resource attributes are added to the keys of items, which have other columns, and counted for each container: the sum may
    // be too large, but never too small.
    let mut columns_of_resources = 0;
    for container in messages(request, CONTAINER) {
        for resource in messages(container, RESOURCE) {
            columns_of_resources += messages(resource, RESOURCE_ATTRIBUTE).count();
            let is_map = |attribute| holds_map(key_and_value(attribute).1);
            if messages(resource, RESOURCE_ATTRIBUTE).any(is_map) {
                return false;
            }
        }
        keys.max_columns = max_columns.saturating_sub(columns_of_resources);
        let mut items = messages(container, SCOPE).flat_map(|scope| messages(scope, ITEM));
        if !items.all(|item| keys.take_item(kind, item)) {
            return false;
        }
    }
    keys.all.len() <= keys.max_columns
}

const RECENT: usize = 1024;

struct SeenKeys<'r> {
    /// The last key at each slot, chosen by its bytes. Most keys are found here without a search in `all`.
    recent: [&'r [u8]; RECENT],
    all: HashSet<&'r [u8]>,
    max_columns: usize,
}

impl<'r> SeenKeys<'r> {
    /// Adds the item's keys. Returns `false` after too many keys, or for a map, whose columns are unknown.
    fn take_item(&mut self, kind: SignalKind, item: &'r [u8]) -> bool {
        match kind {
            SignalKind::Traces => {
                messages(item, SPAN_ATTRIBUTE).all(|attribute| self.take_attribute(attribute))
            }
            SignalKind::Logs => fields(item).all(|field| match (field.number, field.as_len()) {
                (LOG_BODY, Some(body)) => !holds_map(body),
                (LOG_ATTRIBUTE, Some(attribute)) => self.take_attribute(attribute),
                _ => true,
            }),
            SignalKind::Metrics => points(item).all(|(point, attribute)| {
                messages(point, attribute).all(|attribute| self.take_attribute(attribute))
            }),
        }
    }

    #[inline]
    fn take_attribute(&mut self, attribute: &'r [u8]) -> bool {
        let (key, value) = key_and_value(attribute);
        !(may_nest(value) && holds_map(value)) && self.take(key)
    }

    #[inline]
    fn take(&mut self, key: &'r [u8]) -> bool {
        let Some(recent) = self.recent.get_mut(place(key)) else { return false };
        *recent == key || {
            *recent = key;
            self.add(key)
        }
    }

    #[inline(never)]
    fn add(&mut self, key: &'r [u8]) -> bool {
        self.all.insert(key);
        self.all.len() <= self.max_columns
    }
}

/// The slot of a key in `recent`. The keys of one program should use different slots, because keys in one slot keep replacing
/// each other.
#[inline]
fn place(key: &[u8]) -> usize {
    let (first, last) = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
    };
    let word = first ^ last.rotate_left(29) ^ key.len() as u64;
    let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - RECENT.ilog2());
    usize::try_from(mixed).unwrap_or_default()
}
