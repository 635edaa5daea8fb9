//! Bits, the lowest of a byte first (RFC 1951, 3.1.1).

pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    /// How many bits wait; fewer than 32.
    count: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, waiting: 0, count: 0 }
    }

    /// Length of the buffer that is written to, without what waits.
    pub(crate) fn bytes(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn reserve(&mut self, bits: usize) {
        self.out.reserve(bits / 8 + size_of::<u64>());
    }

    /// The lowest `count` bits of `value`, 32 at most; all others of it are 0.
    #[inline]
    pub(crate) fn put(&mut self, value: u32, count: u32) {
        self.waiting |= u64::from(value) << self.count;
        self.count += count;
        if self.count >= 32 {
            self.out.extend_from_slice(&(self.waiting as u32).to_le_bytes());
            self.waiting >>= 32;
            self.count -= 32;
        }
    }

    /// Bytes, which begin at the next whole byte.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.finish();
        self.out.extend_from_slice(bytes);
    }

    /// Fills the last byte up with zeros.
    pub(crate) fn finish(&mut self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.waiting.to_le_bytes()[..bytes]);
        (self.waiting, self.count) = (0, 0);
    }
}
