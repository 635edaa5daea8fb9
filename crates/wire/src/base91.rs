//! Bytes as JSON-safe text: 13 bits in two of 91 characters.

const RADIX: u32 = 91;
const BITS: u32 = 13;
/// Bits that fit into one character.
const BITS_OF_ONE: u32 = 6;
/// Printable ASCII without the space and the characters that JSON and shells quote: `"`, `'` and `\`.
const ALPHABET: [u8; RADIX as usize] =
    *b"!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~";

/// Appends the text of `bytes`.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |value: u32| ALPHABET.get((value % RADIX) as usize).copied().unwrap_or_default();
    out.reserve(bytes.len() * 16 / 13 + 2);
    let mut bits = 0_u32;
    let mut count = 0;
    for byte in bytes {
        bits |= u32::from(*byte) << count;
        count += u8::BITS;
        if count >= BITS {
            let value = bits & ((1 << BITS) - 1);
            out.extend_from_slice(&[digit(value), digit(value / RADIX)]);
            bits >>= BITS;
            count -= BITS;
        }
    }
    if count > 0 {
        out.push(digit(bits));
    }
    if count > BITS_OF_ONE {
        out.push(digit(bits / RADIX));
    }
}

/// Returns the number of bytes whose text has at most this number of characters.
pub(crate) fn bytes_in(characters: usize) -> usize {
    characters / 16 * 13
}

const NONE: u8 = u8::MAX;
#[expect(clippy::indexing_slicing, reason = "computed by the compiler")]
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0_u8;
    while (value as usize) < ALPHABET.len() {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Returns the bytes of a text; `None` if no bytes have this text.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let value = |character: u8| {
        let value = VALUES.get(usize::from(character)).copied().filter(|value| *value != NONE);
        value.map(u32::from)
    };
    let mut out = Vec::with_capacity(text.len() * 13 / 16 + 2);
    let mut bits = 0_u32;
    let mut count = 0;
    for pair in text.chunks(2) {
        let (pair, pair_bits) = match *pair {
            [low, high] => (value(low)? + value(high)? * RADIX, BITS),
            [low] => (value(low)?, 6),
            _ => return None,
        };
        if pair >> pair_bits != 0 {
            return None;
        }
        bits |= pair << count;
        count += pair_bits;
        while count >= u8::BITS {
            let [low, ..] = bits.to_le_bytes();
            out.push(low);
            bits >>= u8::BITS;
            count -= u8::BITS;
        }
    }
    // The rest fills up the last characters.
    (bits == 0).then_some(out)
}
