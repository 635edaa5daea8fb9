//! Compares bytes word by word.

#[inline]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// The number of bytes that both begin with.
#[inline]
pub(crate) fn length_of_equal(from: &[u8], rest: &[u8]) -> usize {
    let ((from_words, _), (words, _)) = (from.as_chunks::<8>(), rest.as_chunks::<8>());
    let mut length = 0;
    for (from, word) in from_words.iter().zip(words) {
        let other = u64::from_le_bytes(*from) ^ u64::from_le_bytes(*word);
        if other != 0 {
            return length + (other.trailing_zeros() / u8::BITS) as usize;
        }
        length += 8;
    }
    let ends = from[length..].iter().zip(&rest[length..]);
    length + ends.take_while(|(from, byte)| from == byte).count()
}
