//! What a look at all items of a request tells beside that they need nothing.

/// Of requests that were passed as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// The times of the items.
    pub times: Times,
    keys: Keys,
}

impl Survey {
    pub(super) const NOTHING: Self = Self {
        times: Times { oldest_unix_nano: u64::MAX, newest_unix_nano: 0 },
        keys: Keys { seen: [0; WORDS], has_maps: false },
    };

    /// Of both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let (times, others) = (&mut self.times, other.times);
        times.oldest_unix_nano = times.oldest_unix_nano.min(others.oldest_unix_nano);
        times.newest_unix_nano = times.newest_unix_nano.max(others.newest_unix_nano);
        self.keys.has_maps |= other.keys.has_maps;
        for (seen, others) in self.keys.seen.iter_mut().zip(&other.keys.seen) {
            *seen |= others;
        }
        self
    }

    /// Whether there are far fewer attribute keys than OpenObserve takes columns; false says nothing.
    pub fn has_few_keys(&self) -> bool {
        let seen: u32 = self.keys.seen.iter().map(|word| word.count_ones()).sum();
        seen <= FEW && !self.keys.has_maps
    }

    #[inline]
    pub(super) fn add_key(&mut self, key: &[u8]) {
        self.keys.add(key, ITEM);
    }

    /// A resource's key has a column of its own.
    pub(super) fn add_resource_key(&mut self, key: &[u8]) {
        self.keys.add(key, RESOURCE);
    }

    /// A map has more columns than keys.
    pub(super) fn add_map(&mut self) {
        self.keys.has_maps = true;
    }
}

/// The times by which OpenObserve judges items, in nanoseconds since the Unix epoch: of spans their start, of log records
/// their time or, where that is 0, the observed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Of the oldest item.
    pub oldest_unix_nano: u64,
    /// Of the newest item.
    pub newest_unix_nano: u64,
}

impl Times {
    /// Takes in the time of another item.
    pub(super) fn add(&mut self, time_unix_nano: u64) {
        self.oldest_unix_nano = self.oldest_unix_nano.min(time_unix_nano);
        self.newest_unix_nano = self.newest_unix_nano.max(time_unix_nano);
    }
}

/// One of 1,024 bits for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keys {
    seen: [u64; WORDS],
    has_maps: bool,
}

const WORDS: usize = 16;

/// What the hashes of keys begin with.
const ITEM: u64 = 0;
const RESOURCE: u64 = 0xff51_afd7_ed55_8ccd;

/// 900 keys have 600 bits, give or take 30; no set of so many that was not made for it has as few as these.
const FEW: u32 = 400;

impl Keys {
    #[inline]
    fn add(&mut self, key: &[u8], seed: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = seed ^ key.len() as u64;
        let last = if let Some(last) = key.last_chunk::<8>() {
            // Some bytes of the last word may be in the one before, too.
            let (words, _) = key.as_chunks::<8>();
            for word in words {
                hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(ODD).rotate_left(29);
            }
            u64::from_le_bytes(*last)
        } else {
            key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        let product = (hash ^ last).wrapping_mul(ODD);
        // Once more: equal steps, as of numbered keys, would stay equal steps and meet again and again.
        let place = ((product ^ product >> 32).wrapping_mul(ODD) >> 54) as u32;
        // Ten bits: four for the word, six for the bit.
        if let Some(word) = self.seen.get_mut((place >> 6) as usize) {
            *word |= 1 << (place & 63);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(keys: impl Iterator<Item = String>) -> Survey {
        let mut survey = Survey::NOTHING;
        keys.for_each(|key| survey.add_key(key.as_bytes()));
        survey
    }

    #[test]
    fn few_keys_are_known_and_many_never_taken_for_few() {
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
                assert!(!survey((0..many).map(name)).has_few_keys(), "{}: {many}", name(7));
            }
            assert!(survey((0..200).map(name)).has_few_keys(), "{}", name(7));
            let (some, others) = (survey((0..400).map(name)), survey((400..900).map(name)));
            assert!(!some.and(&others).has_few_keys(), "{}", name(7));
        }
    }

    #[test]
    fn keys_of_resources_and_of_items_are_two_and_a_map_is_many() {
        let mut both = survey((0..250).map(|n| format!("key.{n}")));
        assert!(both.has_few_keys());
        (0..250).for_each(|n| both.add_resource_key(format!("key.{n}").as_bytes()));
        assert_eq!(both, both.and(&Survey::NOTHING));
        let seen: u32 = both.keys.seen.iter().map(|word| word.count_ones()).sum();
        assert!(seen > 350, "{seen}");
        let mut map = Survey::NOTHING;
        assert!(map.has_few_keys());
        map.add_map();
        assert!(!map.has_few_keys());
    }
}
