//! Selects the segments that are most common in a training set, as zstd's COVER does (Liao, Petri, Moffat and Wirth, "Effective
//! Construction of Relative Lempel-Ziv Dictionaries", 2016).

use std::collections::{HashMap, HashSet};

/// Bytes of the pieces whose frequency is counted.
const PIECE: usize = 6;

/// Returns a dictionary of at most `size` bytes. The most frequent segments stand at the end, where distances are short.
pub(super) fn select(samples: &[&[u8]], size: usize, segment: usize) -> Vec<u8> {
    let mut counts: HashMap<&[u8], u32> = HashMap::new();
    for sample in samples {
        let pieces: HashSet<&[u8]> = sample.windows(PIECE).collect();
        for piece in pieces {
            *counts.entry(piece).or_default() += 1;
        }
    }
    // A piece of one sample helps no other.
    counts.retain(|_, count| *count > 1);
    // Equal samples have equal segments.
    let mut samples: Vec<&[u8]> =
        samples.iter().copied().collect::<HashSet<_>>().into_iter().collect();
    samples.sort_unstable();
    let mut selected: Vec<&[u8]> = Vec::new();
    let mut left = size;
    while left >= PIECE {
        let segment = segment.min(left);
        let best = samples.iter().filter_map(|sample| best_segment(sample, segment, &counts));
        let Some((_, best)) = best.max_by_key(|(score, bytes)| (*score, *bytes)) else { break };
        for piece in best.windows(PIECE) {
            counts.remove(piece);
        }
        left -= best.len();
        selected.push(best);
    }
    selected.reverse();
    selected.concat()
}

/// The segment with the most frequent pieces. Its beginning and end are cut off if they are in the dictionary already.
fn best_segment<'s>(
    sample: &'s [u8],
    segment: usize,
    counts: &HashMap<&[u8], u32>,
) -> Option<(u64, &'s [u8])> {
    let scores: Vec<u64> = sample
        .windows(PIECE)
        .map(|piece| counts.get(piece).map_or(0, |count| u64::from(*count)))
        .collect();
    let window = segment.min(sample.len()).checked_sub(PIECE)? + 1;
    let mut sum: u64 = scores.iter().take(window).sum();
    let mut best = (sum, 0);
    for (start, (gone, new)) in (1..).zip(scores.iter().zip(scores.iter().skip(window))) {
        sum = sum + new - gone;
        best = best.max((sum, start));
    }
    let (score, start) = best;
    let of_best = scores.get(start..start + window)?;
    let first = of_best.iter().position(|score| *score > 0)?;
    let last = of_best.iter().rposition(|score| *score > 0)?;
    Some((score, sample.get(start + first..start + last + PIECE)?))
}
