//! FNV-1a with 64 bits. Derived ids, sampling and fingerprints depend on it across versions, so it never changes.
//!
//! Source: RFC 9923 (The FNV Non-Cryptographic Hash Algorithm).

/// The hash of no bytes.
pub const START: u64 = 0xcbf2_9ce4_8422_2325;

/// Adds a byte to a hash.
#[inline]
pub const fn with_byte(hash: u64, byte: u8) -> u64 {
    // `u64::from` is not const.
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

/// Returns the hash of these bytes.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().copied().fold(START, with_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the algorithm's authors.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
