//! Trains text and codes of a dictionary.

mod cover;

use super::dictionary::MOST_TEXT_BYTES;
use deflate::{Codes, Deflater, Preset};

const SEGMENT: usize = 500;

/// Returns a dictionary's file for [skeletons](super::Encoder::skeleton) of several kinds of services: the codes' numbers of bits, then the text.
///
/// The codes are those of services that the text was not trained with, as a function's are: each kind is deflated with the text of
/// the others.
pub fn train(kinds: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let text_without = |left_out: Option<usize>| {
        let others = kinds.iter().enumerate().filter(|(kind, _)| Some(*kind) != left_out);
        let samples: Vec<&[u8]> = others.flat_map(|(_, kind)| kind).map(Vec::as_slice).collect();
        cover::select(&samples, MOST_TEXT_BYTES, SEGMENT)
    };
    let mut counts = [0; Codes::SYMBOLS];
    let mut deflater = Deflater::default();
    for (number, kind) in kinds.iter().enumerate() {
        let preset = Preset::new(text_without(Some(number)).into());
        for sample in kind {
            for (count, more) in counts.iter_mut().zip(deflater.count_symbols(&preset, sample)) {
                *count += more;
            }
        }
    }
    let codes = Codes::of_counts(&counts);
    codes.lengths().chain(text_without(None)).collect()
}
