//! Hashes of keys, columns and streams. They are fast, and only compared within a process.

/// An odd factor whose bits are spread: 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Initial hash value of a key, which differs between items and resources.
const ITEM: u64 = 0;
const RESOURCE: u64 = 0xff51_afd7_ed55_8ccd;

/// The hash of an attribute's key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHash {
    pub(crate) hash: u64,
}

impl KeyHash {
    #[inline]
    pub(crate) fn of_item(key: &[u8]) -> Self {
        Self::new(key, ITEM)
    }

    /// A resource key has a different column than the same key of an item.
    #[inline]
    pub(crate) fn of_resource(key: &[u8]) -> Self {
        Self::new(key, RESOURCE)
    }

    #[inline]
    pub(crate) fn new(key: &[u8], seed: u64) -> Self {
        let mut hash = seed ^ key.len() as u64;
        let last = if let Some(last) = key.last_chunk::<8>() {
            // The last eight bytes overlap the previous words if the length is not a multiple of eight.
            let (words, _) = key.as_chunks::<8>();
            for word in words {
                hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(ODD).rotate_left(29);
            }
            u64::from_le_bytes(*last)
        } else {
            key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        let product = (hash ^ last).wrapping_mul(ODD);
        // A second multiplication. With only one, keys numbered in equal steps would have hashes in equal steps and share bits.
        Self { hash: (product ^ product >> 32).wrapping_mul(ODD) }
    }
}

/// Adds a hash to that of the ones before it.
#[inline]
pub(crate) fn combined(hash: u64, other: u64) -> u64 {
    (hash.rotate_left(5) ^ other).wrapping_mul(ODD)
}
