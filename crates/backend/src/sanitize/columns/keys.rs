//! Finds out quickly that a request has few columns, as nearly all have.

use super::{
    CONTAINER, ITEM, LOG_ATTRIBUTE, LOG_BODY, MAP, RESOURCE, RESOURCE_ATTRIBUTE, SCOPE,
    SPAN_ATTRIBUTE, key_and_value, messages, points,
};
use std::collections::HashSet;
use wire::SignalKind;

/// True if all items of a request, of whatever stream, have at most `max_columns` different keys together. False says
/// nothing: maps have more columns than keys.
pub(super) fn are_few(kind: SignalKind, request: &[u8], max_columns: usize) -> bool {
    let mut keys = Keys { recent: [&[]; RECENT], all: HashSet::from([[].as_slice()]), max_columns };
    // A resource attribute has a column of its own beside an item's of the same key, and is counted again in each
    // container; both err to the same side.
    let mut columns_of_resources = 0;
    for container in messages(request, CONTAINER) {
        for resource in messages(container, RESOURCE) {
            columns_of_resources += messages(resource, RESOURCE_ATTRIBUTE).count();
            let holds_map = |attribute| messages(key_and_value(attribute).1, MAP).next().is_some();
            if kind == SignalKind::Logs && messages(resource, RESOURCE_ATTRIBUTE).any(holds_map) {
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

const RECENT: usize = 256;

/// The keys so far.
struct Keys<'r> {
    /// Keys that were seen, each in the one place where it is looked for: most are there.
    recent: [&'r [u8]; RECENT],
    all: HashSet<&'r [u8]>,
    max_columns: usize,
}

impl<'r> Keys<'r> {
    /// False once it is not known that there are few.
    fn take_item(&mut self, kind: SignalKind, item: &'r [u8]) -> bool {
        match kind {
            SignalKind::Traces => self.take(item, SPAN_ATTRIBUTE, false),
            SignalKind::Logs => {
                let body_is_map =
                    messages(item, LOG_BODY).any(|body| messages(body, MAP).next().is_some());
                !body_is_map && self.take(item, LOG_ATTRIBUTE, true)
            }
            SignalKind::Metrics => {
                points(item).all(|(point, attribute)| self.take(point, attribute, false))
            }
        }
    }

    fn take(&mut self, message: &'r [u8], attribute: u32, maps_count: bool) -> bool {
        messages(message, attribute).all(|attribute| {
            let (key, value) = key_and_value(attribute);
            if maps_count && messages(value, MAP).next().is_some() {
                return false;
            }
            let Some(recent) = self.recent.get_mut(place(key)) else { return false };
            if *recent == key {
                return true;
            }
            *recent = key;
            self.all.insert(key);
            self.all.len() <= self.max_columns
        })
    }
}

/// Different for most keys of one program.
fn place(key: &[u8]) -> usize {
    let at = |index: usize| key.get(index).copied().map_or(0, usize::from);
    let len = key.len();
    (len * 17 + at(0) * 5 + at(len / 2) * 11 + at(len.saturating_sub(1)) * 3) % RECENT
}
