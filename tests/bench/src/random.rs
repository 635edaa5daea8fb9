//! Numbers that look random and are the same in every process: SplitMix64.

/// The digits of DynamoDB's and SQS's ids (RFC 4648, section 7).
pub const BASE_32_HEX: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn next_u128(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }

    /// From 0 to `bound`, without it; the bias does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    /// Like [`below`](Self::below).
    pub fn small(&mut self, bound: u32) -> i64 {
        self.below(u64::from(bound)).cast_signed()
    }

    pub fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        *nth(from, self.next_u64())
    }

    /// A random UUID (RFC 9562, version 4), as Lambda's request ids are.
    pub fn uuid(&mut self) -> String {
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            self.below(1 << 32),
            self.below(1 << 16),
            self.below(1 << 12),
            self.below(1 << 14) | 0x8000,
            self.below(1 << 48),
        )
    }

    pub fn ip_address(&mut self) -> String {
        let [a, b, c, d, ..] = self.next_u64().to_le_bytes();
        format!("{}.{b}.{c}.{d}", a % 223 + 1)
    }

    /// A request id as this AWS service gives them: 52 letters and digits, 16, or a UUID.
    pub fn request_id(&mut self, service: &str) -> String {
        let (length, alphabet) = match service {
            "DynamoDB" => (52, BASE_32_HEX),
            "S3" => (16, b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"),
            _ => return self.uuid(),
        };
        (0..length).map(|_| char::from(*nth(alphabet, self.next_u64()))).collect()
    }
}

/// The element of this number, which wraps; arrays are never empty here.
#[expect(clippy::indexing_slicing, reason = "the index is below the length")]
pub fn nth<T, const N: usize>(from: &[T; N], index: u64) -> &T {
    const { assert!(N > 0) };
    &from[usize::try_from(index % N as u64).unwrap_or(0)]
}
