//! The newest of many things, bounded in number and in bytes.

use std::collections::VecDeque;

/// How many things are remembered if nothing else is said, and how many bytes of them.
const MAX_ITEMS: usize = 1000;
const MAX_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Recent<T> {
    items: VecDeque<(T, usize)>,
    max_items: usize,
    bytes: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self::of(MAX_ITEMS)
    }
}

impl<T> Recent<T> {
    /// Keeps at most `max_items` things.
    pub(crate) fn of(max_items: usize) -> Self {
        Self { items: VecDeque::new(), max_items, bytes: 0 }
    }
}

impl<T: Clone> Recent<T> {
    /// Adds one of about `bytes` and forgets the oldest beyond the bounds, but never the one added.
    pub(crate) fn push(&mut self, item: T, bytes: usize) {
        self.items.push_back((item, bytes));
        self.bytes += bytes;
        while self.items.len() > self.max_items || (self.bytes > MAX_BYTES && self.items.len() > 1)
        {
            let Some((_, forgotten_bytes)) = self.items.pop_front() else { return };
            self.bytes -= forgotten_bytes;
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<T> {
        self.items.iter().map(|(item, _)| item.clone()).collect()
    }
}
