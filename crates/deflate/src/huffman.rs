//! Prefix codes (RFC 1951, 3.2.2).

/// Maximum code length of a byte, a length or a distance.
pub(crate) const MAX_BITS: usize = 15;
/// While sorting, the symbol's number is stored below its count.
const SYMBOL_BITS: u32 = 9;

/// The bits of a symbol, first bit lowest.
#[derive(Clone, Copy)]
pub(crate) struct Codeword {
    pub(crate) bits: u64,
    /// Number of bits; 0 if the symbol does not occur.
    pub(crate) length: u32,
}

/// A code for fewer than `N` symbols; `N` is a power of two, so that a mask keeps an index within the table.
pub(crate) struct Code<const N: usize> {
    /// The bits of each symbol, with their number above the lower 16.
    entries: [u32; N],
}

impl<const N: usize> Default for Code<N> {
    fn default() -> Self {
        Self { entries: [0; N] }
    }
}

impl<const N: usize> Code<N> {
    #[inline]
    pub(crate) fn codeword(&self, symbol: usize) -> Codeword {
        let entry = self.entries[symbol & (N - 1)];
        Codeword { bits: u64::from(entry & 0xffff), length: entry >> 16 }
    }

    /// The number of bits of a symbol; 0 if it does not occur.
    #[inline]
    pub(crate) fn length(&self, symbol: usize) -> u32 {
        self.codeword(symbol).length
    }

    /// Becomes the optimal code for these frequencies with code lengths of at most `limit`.
    pub(crate) fn build(&mut self, counts: &[u32], limit: usize) {
        let mut lengths = [0; N];
        let mut by_count = [0; N];
        let mut used = 0;
        for (symbol, &count) in counts.iter().enumerate() {
            if count > 0 {
                by_count[used & (N - 1)] = count << SYMBOL_BITS | symbol as u32;
                used += 1;
            }
        }
        let symbol_of = |entry: u32| (entry & ((1 << SYMBOL_BITS) - 1)) as usize & (N - 1);
        match &mut by_count[..used] {
            [] => {}
            [only] => {
                // Some readers refuse a code of one symbol (zlib: "incomplete set").
                let symbol = symbol_of(*only);
                lengths[symbol] = 1;
                lengths[usize::from(symbol == 0)] = 1;
            }
            by_count => {
                by_count.sort_unstable();
                let mut of_length = count_lengths::<N>(by_count, limit);
                let mut length = limit;
                for &entry in by_count.iter() {
                    while of_length[length] == 0 {
                        length -= 1;
                    }
                    of_length[length] -= 1;
                    lengths[symbol_of(entry)] = length as u8;
                }
            }
        }
        self.assign(&lengths[..counts.len()]);
    }

    /// Becomes the code with these lengths.
    pub(crate) fn assign(&mut self, lengths: &[u8]) {
        let mut next = [0_u16; MAX_BITS + 1];
        for &length in lengths {
            next[usize::from(length) & MAX_BITS] += 1;
        }
        next[0] = 0;
        let mut code = 0;
        let mut shorter = 0;
        for next in &mut next {
            code = (code + shorter) << 1;
            shorter = *next;
            *next = code;
        }
        for (entry, &length) in self.entries.iter_mut().zip(lengths) {
            *entry = 0;
            if length > 0 {
                let next = &mut next[usize::from(length) & MAX_BITS];
                let bits = next.reverse_bits() >> (16 - u32::from(length));
                *entry = u32::from(length) << 16 | u32::from(bits);
                *next += 1;
            }
        }
    }
}

/// Computes the code lengths of at least two symbols, sorted by their counts: the depths of the leaves of Huffman's tree, built
/// in place (Moffat and Katajainen, "In-Place Calculation of Minimum-Redundancy Codes", 1995), and at most `limit`.
fn count_lengths<const N: usize>(by_count: &[u32], limit: usize) -> [u32; MAX_BITS + 1] {
    let used = by_count.len();
    let count = |leaf: usize| by_count[leaf] >> SYMBOL_BITS;
    // An inner node is first its count, then its parent's number, then its depth.
    let mut all_nodes = [0_u32; N];
    let nodes = &mut all_nodes[..used - 1];
    let mut node = 0;
    let mut leaf = 0;
    for next in 0..used - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            if leaf >= used || (node < next && nodes[node] < count(leaf)) {
                sum += nodes[node];
                nodes[node] = next as u32;
                node += 1;
            } else {
                sum += count(leaf);
                leaf += 1;
            }
        }
        nodes[next] = sum;
    }
    nodes[used - 2] = 0;
    for node in (0..used - 2).rev() {
        nodes[node] = nodes[nodes[node] as usize] + 1;
    }
    let mut of_length = [0; MAX_BITS + 1];
    let mut inner = nodes.iter().rev().peekable();
    let mut open = 1;
    let mut depth = 0;
    let mut left = used as u32;
    while left > 0 {
        let mut branches = 0;
        while inner.next_if(|&&node| node == depth).is_some() {
            branches += 1;
        }
        let leaves = open - branches;
        of_length[(depth as usize).min(limit)] += leaves;
        left -= leaves;
        open = 2 * branches;
        depth += 1;
    }
    // Shortened codes exceed the code space: shorter symbols become one bit longer to make room.
    let taken = (1..=limit).map(|length| of_length[length] << (limit - length)).sum::<u32>();
    for _ in 0..taken.saturating_sub(1 << limit) {
        let shorter = (1..limit).rev().find(|&length| of_length[length] > 0).unwrap_or(1);
        of_length[limit] -= 1;
        of_length[shorter] -= 1;
        of_length[shorter + 1] += 2;
    }
    of_length
}
