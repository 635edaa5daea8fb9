//! The latest items of a kind, within bounds.

use std::collections::VecDeque;

/// The default bounds, in items and bytes.
const MAX_ITEMS: usize = 1000;
pub(crate) const MAX_HISTORY_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct BoundedHistory<T> {
    items: VecDeque<Entry<T>>,
    max_items: usize,
    max_bytes: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    bytes: usize,
}

impl<T> Default for BoundedHistory<T> {
    fn default() -> Self {
        Self::new(MAX_ITEMS, MAX_HISTORY_BYTES)
    }
}

impl<T> BoundedHistory<T> {
    pub(crate) fn new(max_items: usize, max_bytes: usize) -> Self {
        Self { items: VecDeque::new(), max_items, max_bytes, bytes: 0 }
    }
}

impl<T: Clone> BoundedHistory<T> {
    /// Adds an item of about `bytes`, and drops the oldest ones beyond the bounds, but never the new one.
    pub(crate) fn push(&mut self, item: T, bytes: usize) {
        self.items.push_back(Entry { item, bytes });
        self.bytes += bytes;
        while self.items.len() > self.max_items
            || (self.bytes > self.max_bytes && self.items.len() > 1)
        {
            let Some(oldest) = self.items.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes;
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<T> {
        self.items.iter().map(|entry| entry.item.clone()).collect()
    }
}
