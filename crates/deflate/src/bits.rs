//! Bits, the lowest of a byte first (RFC 1951, 3.1.1).

/// Writes at the end of a buffer, which gets room for a block at a time.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    /// How many bits wait; fewer than eight.
    count: u32,
}

/// Room for bits whose number is known.
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

    /// Length of the buffer that is written to, without what waits.
    pub(crate) fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Has `write` put so many bits, or fewer. It is given the room, and gives it back, so that what waits is in registers meanwhile.
    pub(crate) fn with_room(&mut self, bits: usize, write: impl FnOnce(Room<'_>) -> Room<'_>) {
        let start = self.out.len();
        // Each time a whole number is written, of which the last bytes are still to come.
        self.out.resize(start + bits / 8 + 1 + size_of::<u64>(), 0);
        let bytes = &mut self.out[start..];
        let room = Room { bytes, written: 0, waiting: self.waiting, count: self.count };
        let Room { written, waiting, count, .. } = write(room);
        self.out.truncate(start + written);
        (self.waiting, self.count) = (waiting, count);
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

impl Room<'_> {
    /// The lowest `count` bits of `value`, 56 at most; all others of it are 0.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        let (waiting, count) = (self.waiting | value << self.count, self.count + count);
        // Without a branch, which would be taken after every few tokens and could not be foretold.
        self.bytes[self.written..][..size_of::<u64>()].copy_from_slice(&waiting.to_le_bytes());
        self.written += (count / 8) as usize;
        (self.waiting, self.count) = (waiting >> (count & !7), count & 7);
    }
}
