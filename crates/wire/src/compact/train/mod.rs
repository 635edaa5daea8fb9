//! Trains text and codes of a dictionary.

mod cover;

use super::dictionary::MOST_TEXT_BYTES;
use deflate::{Codes, Deflater, Preset};
use std::collections::BTreeSet;

const SEGMENT: usize = 500;
/// Coarser counts that are tried if the codes of the exact ones have no header.
const MOST_COARSE: u32 = 100;

/// A sample of what a dictionary is for.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The [skeleton](super::Encoder::skeleton) of a request.
    pub skeleton: Vec<u8>,
    /// The numbers of the groups it belongs to, such as a kind of services.
    pub groups: Vec<usize>,
}

/// Returns a dictionary's file: the codes' numbers of bits, then the text.
///
/// The codes are those of skeletons that the text was not trained with, as a function's are: each group is deflated with the text
/// of the samples outside it.
pub fn train(samples: &[Sample]) -> Vec<u8> {
    let text_without = |left_out: Option<usize>| {
        let others = samples
            .iter()
            .filter(|sample| !left_out.is_some_and(|group| sample.groups.contains(&group)));
        let others: Vec<&[u8]> = others.map(|sample| sample.skeleton.as_slice()).collect();
        cover::select(&others, MOST_TEXT_BYTES, SEGMENT)
    };
    let mut counts = [0; Codes::SYMBOLS];
    let mut deflater = Deflater::default();
    let groups: BTreeSet<usize> =
        samples.iter().flat_map(|sample| sample.groups.iter().copied()).collect();
    for group in groups {
        let preset = Preset::new(text_without(Some(group)).into());
        for sample in samples.iter().filter(|sample| sample.groups.contains(&group)) {
            let more = deflater.count_symbols(&preset, &sample.skeleton);
            for (count, more) in counts.iter_mut().zip(more) {
                *count += more;
            }
        }
    }
    // Writers do not use codes whose header cannot end with a byte. Others are nearly as good.
    let mut codes =
        (1..=MOST_COARSE).map(|unit| Codes::of_counts(&counts.map(|count| count / unit)));
    let codes = codes.find(|codes| codes.header().is_some());
    let codes = codes.unwrap_or_else(|| Codes::of_counts(&counts));
    codes.lengths().chain(text_without(None)).collect()
}
