//! Writes a block in the smallest of its encodings (RFC 1951, 3.2.3).

use crate::bits::{BitWriter, Room};
use crate::codes::Codes;
use crate::huffman::{Code, Codeword, MAX_BITS};
use crate::symbols::{self, DISTANCES, END_OF_BLOCK, LITERALS, Meaning, Token, Tokens};

/// Maximum length of a code for code lengths.
const MAX_BITS_OF_LENGTHS: usize = 7;
/// The order of the code lengths' own code (3.2.7).
const LENGTH_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const STORED_BYTES: usize = u16::MAX as usize;
/// The beginning of a block: the final flag and the encoding.
pub(crate) const BLOCK_TYPE_BITS: usize = 3;
/// Number of bits of each distance in the fixed code (3.2.6).
const FIXED_DISTANCE: u8 = 5;

/// The length of a stored block's part and its complement (3.2.4), and the padding before them.
const STORED_HEADER_BYTES: usize = 5;

/// The encoding of a block (3.2.3).
#[derive(Clone, Copy)]
pub(crate) enum Encoding {
    Stored = 0,
    FixedCodes = 1,
    OwnCodes = 2,
}

/// The first [`BLOCK_TYPE_BITS`] of a block.
pub(crate) fn block_type(encoding: Encoding, is_last: bool) -> u64 {
    u64::from(is_last) | (encoding as u64) << 1
}

/// Writes blocks, and reuses the memory of their codes.
#[derive(Default)]
pub(crate) struct BlockWriter {
    literals: Code<512>,
    distances: Code<32>,
    lengths: Code<32>,
}

impl BlockWriter {
    /// Writes the tokens, which represent `input`, and clears them. `shared` are codes that may be used without a header; returns
    /// `true` if they were used.
    pub(crate) fn write(
        &mut self,
        bits: &mut BitWriter<'_>,
        tokens: &mut Tokens,
        input: &[u8],
        is_last: bool,
        shared: Option<&Codes>,
    ) -> bool {
        let literal_counts = tokens.literals();
        let distance_counts = tokens.distances();
        self.literals.build(&literal_counts, MAX_BITS);
        self.distances.build(distance_counts, MAX_BITS);
        let header = BlockHeader::new(&self.literals, &self.distances, &mut self.lengths);
        let mut own = header.bits;
        let mut fixed = 0;
        for (symbol, &count) in literal_counts.iter().enumerate() {
            let extra = symbols::literal_extra(symbol);
            own += (count * (self.literals.length(symbol) + extra)) as usize;
            fixed += (count * (u32::from(fixed_length(symbol)) + extra)) as usize;
        }
        for (symbol, &count) in distance_counts.iter().enumerate() {
            let extra = symbols::distance_extra(symbol);
            own += (count * (self.distances.length(symbol) + extra)) as usize;
            fixed += (count * (u32::from(FIXED_DISTANCE) + extra)) as usize;
        }
        let stored_parts = input.len() / STORED_BYTES + 1;
        let stored = (input.len() + stored_parts * STORED_HEADER_BYTES) * 8;
        if let Some(codes) = shared {
            let shared_bits = codes.bits(&literal_counts, distance_counts);
            if shared_bits <= own.min(fixed).min(stored) {
                self.literals.assign(&codes.literals);
                self.distances.assign(&codes.distances);
                bits.with_room(shared_bits, |room| self.write_tokens(room, tokens.list()));
                tokens.clear();
                return true;
            }
        }
        if stored < own.min(fixed) {
            write_stored(bits, input, is_last);
        } else if fixed <= own {
            self.literals.assign(&std::array::from_fn::<_, 288, _>(fixed_length));
            self.distances.assign(&[FIXED_DISTANCE; DISTANCES]);
            bits.with_room(BLOCK_TYPE_BITS + fixed, |mut room| {
                room.put(block_type(Encoding::FixedCodes, is_last), BLOCK_TYPE_BITS as u32);
                self.write_tokens(room, tokens.list())
            });
        } else {
            bits.with_room(BLOCK_TYPE_BITS + own, |mut room| {
                room.put(block_type(Encoding::OwnCodes, is_last), BLOCK_TYPE_BITS as u32);
                let room = header.write(room, &self.lengths);
                self.write_tokens(room, tokens.list())
            });
        }
        tokens.clear();
        false
    }

    fn write_tokens<'r>(&self, room: Room<'r>, tokens: &[Token]) -> Room<'r> {
        // A variable of its own, whose fields stay in registers: an argument of this size is in memory, and each token would cost 15 %
        // more instructions.
        let mut room = room;
        for token in tokens {
            match token.meaning() {
                Meaning::Literal(byte) => {
                    let byte = self.literals.codeword(usize::from(byte));
                    room.put(byte.bits, byte.length);
                }
                Meaning::Copy { length_minus_3, distance_minus_1 } => {
                    let symbol = symbols::length_symbol(length_minus_3);
                    let extra = symbols::literal_extra(symbol);
                    let length =
                        self.literals.codeword(symbol).followed_by(length_minus_3.into(), extra);
                    let symbol = symbols::distance_symbol(distance_minus_1);
                    let extra = symbols::distance_extra(symbol);
                    let distance =
                        self.distances.codeword(symbol).followed_by(distance_minus_1.into(), extra);
                    let both = length.bits | distance.bits << length.length;
                    room.put(both, length.length + distance.length);
                }
            }
        }
        let end = self.literals.codeword(END_OF_BLOCK);
        room.put(end.bits, end.length);
        room
    }
}

impl Codeword {
    /// The symbol with the bits that it leaves open: the lowest `extra` bits of a length minus 3 or a distance minus 1. The first
    /// number of a symbol with `n` extra bits is a multiple of 2^n.
    #[inline]
    fn followed_by(self, number: u64, extra: u32) -> Self {
        let lowest = number & ((1 << extra) - 1);
        Self { bits: self.bits | lowest << self.length, length: self.length + extra }
    }
}

/// Number of bits of each byte, the end, and lengths in the fixed code (3.2.6).
fn fixed_length(symbol: usize) -> u8 {
    match symbol {
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    }
}

pub(crate) fn write_stored(bits: &mut BitWriter<'_>, input: &[u8], is_last: bool) {
    let mut parts = input.chunks(STORED_BYTES).peekable();
    loop {
        let part = parts.next().unwrap_or_default();
        let ends = parts.peek().is_none();
        bits.with_room(BLOCK_TYPE_BITS, |mut room| {
            room.put(block_type(Encoding::Stored, is_last && ends), BLOCK_TYPE_BITS as u32);
            room
        });
        let length = part.len() as u16;
        let [[a, b], [c, d]] = [length.to_le_bytes(), (!length).to_le_bytes()];
        bits.put_bytes(&[a, b, c, d]);
        bits.put_bytes(part);
        if ends {
            return;
        }
    }
}

/// A code length or a repetition, and the number in its extra bits.
#[derive(Clone, Copy, Default)]
struct Run {
    symbol: u8,
    extra: u8,
}

/// The codes in a block's header: the code length of each symbol, with runs shortened (3.2.7).
pub(crate) struct BlockHeader {
    literal_count: usize,
    distance_count: usize,
    /// Number of code lengths' own lengths, in [`LENGTH_ORDER`].
    length_count: usize,
    runs: [Run; LITERALS + DISTANCES],
    run_count: usize,
    /// The header's size.
    bits: usize,
}

impl BlockHeader {
    pub(crate) fn new(literals: &Code<512>, distances: &Code<32>, lengths: &mut Code<32>) -> Self {
        let literal_count = (257..=LITERALS).rev().find(|&count| literals.length(count - 1) > 0);
        let distance_count = (1..=DISTANCES).rev().find(|&count| distances.length(count - 1) > 0);
        let mut header = Self {
            literal_count: literal_count.unwrap_or(257),
            distance_count: distance_count.unwrap_or(1),
            length_count: 4,
            runs: [Run::default(); LITERALS + DISTANCES],
            run_count: 0,
            bits: 0,
        };
        let mut all = [0; LITERALS + DISTANCES];
        let (of_literals, of_distances) = all.split_at_mut(header.literal_count);
        for (symbol, length) in of_literals.iter_mut().enumerate() {
            *length = literals.length(symbol) as u8;
        }
        for (symbol, length) in of_distances[..header.distance_count].iter_mut().enumerate() {
            *length = distances.length(symbol) as u8;
        }
        let mut counts = [0; 32];
        for run in all[..header.literal_count + header.distance_count].chunk_by(|a, b| a == b) {
            header.push_run(run[0], run.len(), &mut counts);
        }
        lengths.build(&counts[..LENGTH_ORDER.len()], MAX_BITS_OF_LENGTHS);
        let count = LENGTH_ORDER.iter().rposition(|&symbol| lengths.length(symbol) > 0);
        header.length_count = count.map_or(4, |last| (last + 1).max(4));
        header.bits = 14 + 3 * header.length_count;
        for (symbol, &count) in counts.iter().enumerate() {
            header.bits += (count * (lengths.length(symbol) + run_extra(symbol))) as usize;
        }
        header
    }

    fn push_run(&mut self, length: u8, mut left: usize, counts: &mut [u32; 32]) {
        let mut push = |symbol: u8, extra: usize| {
            self.runs[self.run_count] = Run { symbol, extra: extra as u8 };
            self.run_count += 1;
            counts[usize::from(symbol) & 31] += 1;
        };
        if length == 0 {
            while left >= 11 {
                let zeros = left.min(138);
                push(18, zeros - 11);
                left -= zeros;
            }
            if left >= 3 {
                push(17, left - 3);
                left = 0;
            }
        } else {
            push(length, 0);
            left -= 1;
            while left >= 3 {
                let repeated = left.min(6);
                push(16, repeated - 3);
                left -= repeated;
            }
        }
        for _ in 0..left {
            push(length, 0);
        }
    }

    pub(crate) fn bits(&self) -> usize {
        self.bits
    }

    /// Makes the header three bits longer by a length that says nothing. Returns `false` if it has all lengths already.
    pub(crate) fn add_unused_length(&mut self) -> bool {
        let has_room = self.length_count < LENGTH_ORDER.len();
        if has_room {
            self.length_count += 1;
            self.bits += 3;
        }
        has_room
    }

    pub(crate) fn write<'r>(&self, mut room: Room<'r>, lengths: &Code<32>) -> Room<'r> {
        room.put(self.literal_count as u64 - 257, 5);
        room.put(self.distance_count as u64 - 1, 5);
        room.put(self.length_count as u64 - 4, 4);
        for &symbol in &LENGTH_ORDER[..self.length_count] {
            room.put(u64::from(lengths.length(symbol)), 3);
        }
        for run in &self.runs[..self.run_count] {
            let symbol = usize::from(run.symbol);
            let code = lengths.codeword(symbol);
            let bits = code.bits | u64::from(run.extra) << code.length;
            room.put(bits, code.length + run_extra(symbol));
        }
        room
    }
}

fn run_extra(symbol: usize) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}
