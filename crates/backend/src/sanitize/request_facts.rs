//! Facts about adapted requests: the times and the shapes of the items, and whether there are few attribute keys. They save the ingest
//! window, the column limit and the search for new columns a pass of their own.

use super::hash::KeyHash;
use std::collections::BTreeSet;
use wire::ColumnFacts;

/// Facts about requests that [`sanitize`](super::sanitize) adapted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFacts {
    /// The times by which OpenObserve judges items: the start of spans, and the time of log records or, if that is 0, the
    /// observed time.
    pub times: TimeRange,
    keys: KeySketch,
    pub(super) shapes: ColumnShapes,
    /// Number of items with a shape.
    items: usize,
}

/// A sketch of the set of keys. The hash of each key sets one of 1,024 bits, so at most as many bits are set as there are keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KeySketch {
    bits: [u64; WORDS],
    /// `true` if there are maps, which have more columns than their keys.
    pub(super) has_maps: bool,
}

impl KeySketch {
    #[inline]
    pub(super) fn add_key(&mut self, KeyHash { hash, .. }: KeyHash) {
        // Ten bits: four for the word, six for the bit.
        let place = (hash >> 54) as u32;
        if let Some(word) = self.bits.get_mut((place >> 6) as usize) {
            *word |= 1 << (place & 63);
        }
    }

    #[inline]
    pub(super) fn add_all(&mut self, other: &Self) {
        self.has_maps |= other.has_maps;
        for (own, others) in self.bits.iter_mut().zip(&other.bits) {
            *own |= others;
        }
    }

    fn has_few(&self) -> bool {
        let bits: u32 = self.bits.iter().map(|word| word.count_ones()).sum();
        bits <= FEW && !self.has_maps
    }
}

/// The shapes of items, as hashes. Items of one shape have the same columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnShapes {
    different: BTreeSet<u64>,
    are_unknown: bool,
}

/// A request with more shapes is searched for new columns, as if they were unknown.
const MAX_SHAPES: usize = 256;

impl ColumnShapes {
    #[inline]
    fn add(&mut self, shape: u64) {
        if !self.are_unknown && self.different.insert(shape) && self.different.len() > MAX_SHAPES {
            self.forget();
        }
    }

    /// Notes that there are further shapes, whatever they are.
    pub(super) fn forget(&mut self) {
        self.are_unknown = true;
        self.different.clear();
    }

    fn add_all(&mut self, others: Self) {
        if others.are_unknown {
            self.forget();
        }
        others.different.into_iter().for_each(|shape| self.add(shape));
    }
}

impl RequestFacts {
    /// The facts about no request.
    pub const NOTHING: Self = Self {
        times: TimeRange::EMPTY,
        keys: KeySketch { bits: [0; WORDS], has_maps: false },
        shapes: ColumnShapes { different: BTreeSet::new(), are_unknown: false },
        items: 0,
    };

    /// Combines the facts about two requests.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.times.oldest_unix_nano = self.times.oldest_unix_nano.min(other.times.oldest_unix_nano);
        self.times.newest_unix_nano = self.times.newest_unix_nano.max(other.times.newest_unix_nano);
        self.keys.add_all(&other.keys);
        self.shapes.add_all(other.shapes);
        self.items += other.items;
        self
    }

    /// What the client asks about columns: the shapes, and whether there are far fewer attribute keys than OpenObserve's column
    /// limit. If there aren't, the keys have to be counted.
    pub fn to_column_facts(&self) -> ColumnFacts {
        let shapes = &self.shapes;
        ColumnFacts {
            has_few_keys: self.keys.has_few(),
            shapes: (!shapes.are_unknown).then(|| shapes.different.iter().copied().collect()),
            items: self.items,
        }
    }

    /// Adds an item with these columns.
    #[inline]
    pub(super) fn add_item(&mut self, columns: u64) {
        self.items += 1;
        self.shapes.add(columns);
    }

    /// Adds the keys of an item or resource.
    #[inline]
    pub(super) fn add_keys(&mut self, keys: &KeySketch) {
        self.keys.add_all(keys);
    }
}

/// The oldest and the newest time of items, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub oldest_unix_nano: u64,
    pub newest_unix_nano: u64,
}

impl TimeRange {
    const EMPTY: Self = Self { oldest_unix_nano: u64::MAX, newest_unix_nano: 0 };

    /// The range of these times; `None` if there are none.
    pub fn of(times: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut range = None;
        for time_unix_nano in times {
            range.get_or_insert(Self::EMPTY).add(time_unix_nano);
        }
        range
    }

    pub(super) fn add(&mut self, time_unix_nano: u64) {
        self.oldest_unix_nano = self.oldest_unix_nano.min(time_unix_nano);
        self.newest_unix_nano = self.newest_unix_nano.max(time_unix_nano);
    }
}

const WORDS: usize = 16;

/// At most this many set bits count as few keys. 900 keys, the maximum of a request, set about 600 bits (570 to 630); only
/// adversarial keys could set this few.
const FEW: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(keys: impl Iterator<Item = String>) -> RequestFacts {
        let mut facts = RequestFacts::NOTHING;
        keys.for_each(|key| facts.keys.add_key(KeyHash::of_item(key.as_bytes())));
        facts
    }

    #[test]
    fn the_survey_tells_few_keys_from_many() {
        let names: [fn(usize) -> String; 7] = [
            // One multiplication alone puts 1,100 of these on 390 bits, and as many of the next on 435.
            |n| format!("attr{:08}000", n * 50),
            |n| format!("a{:09}", 1_700_000_000 + n * 2),
            |n| format!("key.{n}"),
            |n| format!("gen_ai.prompt.{n:04}.content"),
            |n| format!("{n:08}"),
            |n| format!("app.{}.{}", n / 30, n % 30),
            |n| "x".repeat(n),
        ];
        for name in names {
            for many in [700, 900, 1100, 5000] {
                assert!(!facts((0..many).map(name)).keys.has_few(), "{}: {many}", name(7));
            }
            assert!(facts((0..200).map(name)).keys.has_few(), "{}", name(7));
            let some = facts((0..400).map(name));
            let others = facts((400..900).map(name));
            assert!(!some.and(others).keys.has_few(), "{}", name(7));
        }
        let mut both = facts((0..250).map(|n| format!("key.{n}")));
        (0..500)
            .for_each(|n| both.keys.add_key(KeyHash::of_resource(format!("key.{n}").as_bytes())));
        assert!(!both.keys.has_few(), "resources and items have different columns");
        let mut map = RequestFacts::NOTHING;
        map.keys.has_maps = true;
        assert!(!RequestFacts::NOTHING.and(map).keys.has_few());
    }
}
