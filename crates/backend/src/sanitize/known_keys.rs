//! The keys that this thread has seen in earlier requests, which save most comparisons.
//!
//! This state decides only how much is compared, never the result: an item whose keys are all known to be alone in their columns
//! needs no comparison, and every other item is compared in full.

use super::hash::KeyHash;
use super::names::stored_key;
use std::cell::RefCell;
use std::collections::HashMap;
use wire::fnv;

/// More than the keys of most functions, so that few of them share a slot.
const SLOTS: usize = 1 << 14;

/// Above this number of keys, all are forgotten.
pub(super) const MAX_KNOWN_KEYS: usize = 4096;

thread_local! {
    static KNOWN: RefCell<KnownKeys> = RefCell::new(KnownKeys::new());
}

/// Calls `with` with the keys that this thread has seen.
pub(super) fn with_known_keys<R>(with: impl FnOnce(&mut KnownKeys) -> R) -> R {
    KNOWN.with_borrow_mut(with)
}

/// Keys of earlier requests. Functions send the same keys in each request, so that most keys cost one comparison.
pub(super) struct KnownKeys {
    /// Parts of the hashes of keys that were the first in their columns.
    first: Vec<u32>,
    /// For each column, the hash of the key that was the first in it.
    columns: HashMap<u64, u64>,
}

impl KnownKeys {
    fn new() -> Self {
        Self { first: vec![0; SLOTS], columns: HashMap::new() }
    }

    /// Notes a key. Returns `false` if another key may have been noted for its column before.
    #[inline]
    pub(super) fn note(&mut self, key: &[u8], hash: KeyHash) -> bool {
        let (slot, tag) = slot_and_tag(hash);
        self.first.get(slot).is_some_and(|first| *first == tag) || self.learn(key, hash)
    }

    #[cold]
    fn learn(&mut self, key: &[u8], hash: KeyHash) -> bool {
        let forgets_all = self.columns.len() >= MAX_KNOWN_KEYS;
        if forgets_all {
            self.columns.clear();
            self.first.fill(0);
        }
        // Keys of resources have other columns than keys of items.
        let column = stored_key(key).fold(fnv::START ^ hash.seed, fnv::with_byte);
        let is_first = *self.columns.entry(column).or_insert(hash.hash) == hash.hash;
        let (slot, tag) = slot_and_tag(hash);
        if let Some(first) = self.first.get_mut(slot).filter(|_| is_first) {
            *first = tag;
        }
        // A forgotten key of the same item may have this column.
        is_first && !forgets_all
    }
}

#[inline]
fn slot_and_tag(KeyHash { hash, .. }: KeyHash) -> (usize, u32) {
    // The truncation is the slot: the highest bits. The tag is never 0, which marks an empty slot.
    #[expect(clippy::cast_possible_truncation, reason = "parts of a hash")]
    ((hash >> (u64::BITS - SLOTS.ilog2())) as usize, hash as u32 | 1)
}
