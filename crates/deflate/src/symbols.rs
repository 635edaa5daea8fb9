//! Deflate's symbols: bytes, and copies of earlier bytes (RFC 1951, 3.2.5).

pub(crate) const MIN_LENGTH: usize = 3;
pub(crate) const MAX_LENGTH: usize = 258;
pub(crate) const MAX_DISTANCE: usize = 32 * 1024;
pub(crate) const LITERALS: usize = 286;
pub(crate) const DISTANCES: usize = 30;
pub(crate) const END_OF_BLOCK: usize = 256;
const FIRST_LENGTH: usize = 257;

#[derive(Clone, Copy)]
pub(crate) struct Token(u32);

pub(crate) enum Meaning {
    Literal(u8),
    Copy { length_minus_3: u8, distance_minus_1: u32 },
}

const IS_COPY: u32 = 1 << 31;

impl Token {
    #[inline]
    pub(crate) fn meaning(self) -> Meaning {
        if self.0 & IS_COPY == 0 {
            Meaning::Literal(self.0 as u8)
        } else {
            Meaning::Copy {
                length_minus_3: (self.0 >> 16) as u8,
                distance_minus_1: self.0 & 0x7fff,
            }
        }
    }
}

/// The tokens of a block, and the frequency of each symbol. The arrays are longer than the codes, so that a mask keeps an index
/// within them.
pub(crate) struct Tokens {
    list: Vec<Token>,
    literals: [u32; 512],
    distances: [u32; 32],
}

impl Default for Tokens {
    fn default() -> Self {
        Self { list: Vec::new(), literals: [0; 512], distances: [0; 32] }
    }
}

impl Tokens {
    #[inline]
    pub(crate) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
        self.list.push(Token(u32::from(byte)));
    }

    /// Adds a copy of `length` bytes (3 to 258) from `distance` bytes before (1 to 32,768).
    #[inline]
    pub(crate) fn copy(&mut self, length: usize, distance: usize) {
        let length_minus_3 = (length - MIN_LENGTH) as u8;
        let distance_minus_1 = (distance - 1) as u32;
        self.literals[length_symbol(length_minus_3)] += 1;
        self.distances[distance_symbol(distance_minus_1) & 31] += 1;
        self.list.push(Token(IS_COPY | u32::from(length_minus_3) << 16 | distance_minus_1));
    }

    /// Adds all tokens of another list.
    pub(crate) fn append(&mut self, others: &Self) {
        self.list.extend_from_slice(&others.list);
        for (count, other) in self.literals.iter_mut().zip(&others.literals) {
            *count += other;
        }
        for (count, other) in self.distances.iter_mut().zip(&others.distances) {
            *count += other;
        }
    }

    pub(crate) fn list(&self) -> &[Token] {
        &self.list
    }

    /// The frequencies of the symbols for bytes, the end and lengths; the end occurs once.
    pub(crate) fn literals(&self) -> [u32; LITERALS] {
        let mut counts = [0; LITERALS];
        counts.copy_from_slice(&self.literals[..LITERALS]);
        counts[END_OF_BLOCK] = 1;
        counts
    }

    pub(crate) fn distances(&self) -> &[u32] {
        &self.distances[..DISTANCES]
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.literals.fill(0);
        self.distances.fill(0);
    }
}

#[inline]
pub(crate) fn length_symbol(length_minus_3: u8) -> usize {
    FIRST_LENGTH + usize::from(LENGTH_SYMBOLS[usize::from(length_minus_3)])
}

const LENGTH_SYMBOLS: [u8; 256] = {
    let mut symbols = [0; 256];
    let mut length = 0;
    while length < 255 {
        symbols[length] = if length < 8 {
            length as u8
        } else {
            let extra = length.ilog2() - 2;
            (extra * 4 + 4) as u8 + ((length >> extra) & 3) as u8
        };
        length += 1;
    }
    // The greatest length has a symbol of its own.
    symbols[255] = 28;
    symbols
};

/// Number of extra bits after a symbol for bytes, the end or lengths.
#[inline]
pub(crate) fn literal_extra(symbol: usize) -> u32 {
    match symbol {
        265..285 => (symbol as u32 - 261) / 4,
        _ => 0,
    }
}

#[inline]
pub(crate) fn distance_symbol(distance_minus_1: u32) -> usize {
    if distance_minus_1 < 4 {
        return distance_minus_1 as usize;
    }
    let extra = distance_minus_1.ilog2() - 1;
    (extra * 2 + 2 + ((distance_minus_1 >> extra) & 1)) as usize
}

/// Number of extra bits after a distance's symbol.
#[inline]
pub(crate) fn distance_extra(symbol: usize) -> u32 {
    (symbol as u32 / 2).saturating_sub(1)
}
