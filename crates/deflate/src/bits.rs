//! Bit output, lowest bit of a byte first (RFC 1951, 3.1.1).

/// Appends to a buffer, which grows by a block at a time.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// The bits that do not fill a byte yet.
    waiting: u64,
    /// Number of waiting bits; fewer than eight.
    count: u32,
}

/// Reserved space for a known number of bits.
pub(crate) struct Room<'a> {
    bytes: &'a mut [u8],
    written: usize,
    waiting: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, waiting: 0, count: 0 }
    }

    /// Length of the output buffer without waiting bits.
    pub(crate) fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Lets `write` append at most this many bits. It takes and returns the space by value, so that waiting bits stay in
    /// registers.
    pub(crate) fn with_room(&mut self, bits: usize, write: impl FnOnce(Room<'_>) -> Room<'_>) {
        let start = self.out.len();
        // Each time a whole number is written, whose last bytes are overwritten later.
        self.out.resize(start + bits / 8 + 1 + size_of::<u64>(), 0);
        let bytes = &mut self.out[start..];
        let room = Room { bytes, written: 0, waiting: self.waiting, count: self.count };
        let Room { written, waiting, count, .. } = write(room);
        self.out.truncate(start + written);
        self.waiting = waiting;
        self.count = count;
    }

    /// Appends bytes at the next byte boundary.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.finish();
        self.out.extend_from_slice(bytes);
    }

    /// Pads the last byte with zeros.
    pub(crate) fn finish(&mut self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.waiting.to_le_bytes()[..bytes]);
        self.waiting = 0;
        self.count = 0;
    }
}

impl Room<'_> {
    /// Appends the lowest `count` bits of `value`, at most 56; all higher bits are 0.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        let waiting = self.waiting | value << self.count;
        let count = self.count + count;
        // Without a branch, which would be taken unpredictably after every few tokens.
        self.bytes[self.written..][..size_of::<u64>()].copy_from_slice(&waiting.to_le_bytes());
        self.written += (count / 8) as usize;
        self.waiting = waiting >> (count & !7);
        self.count = count & 7;
    }
}
