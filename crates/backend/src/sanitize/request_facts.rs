//! Facts about adapted requests: the times of the items, and whether there are few attribute keys. They save the ingest window and the
//! column limit a pass of their own.

use super::hash::KeyHash;

/// Facts about requests that [`sanitize`](super::sanitize) adapted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// The times by which OpenObserve judges items: the start of spans, and the time of log records or, if that is 0, the
    /// observed time.
    pub times: TimeRange,
    keys: KeySketch,
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

impl RequestFacts {
    /// The facts about no request.
    pub const NOTHING: Self =
        Self { times: TimeRange::EMPTY, keys: KeySketch { bits: [0; WORDS], has_maps: false } };

    /// Combines the facts about two requests.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.times.oldest_unix_nano = self.times.oldest_unix_nano.min(other.times.oldest_unix_nano);
        self.times.newest_unix_nano = self.times.newest_unix_nano.max(other.times.newest_unix_nano);
        self.keys.add_all(&other.keys);
        self
    }

    /// Returns `true` if there are far fewer attribute keys than OpenObserve's column limit. After `false` the keys have to be
    /// counted.
    pub fn has_few_keys(&self) -> bool {
        self.keys.has_few()
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
                assert!(!facts((0..many).map(name)).has_few_keys(), "{}: {many}", name(7));
            }
            assert!(facts((0..200).map(name)).has_few_keys(), "{}", name(7));
            let some = facts((0..400).map(name));
            let others = facts((400..900).map(name));
            assert!(!some.and(&others).has_few_keys(), "{}", name(7));
        }
        let mut both = facts((0..250).map(|n| format!("key.{n}")));
        (0..500)
            .for_each(|n| both.keys.add_key(KeyHash::of_resource(format!("key.{n}").as_bytes())));
        assert!(!both.has_few_keys(), "resources and items have different columns");
        let mut map = RequestFacts::NOTHING;
        map.keys.has_maps = true;
        assert!(!RequestFacts::NOTHING.and(&map).has_few_keys());
    }
}
