//! The preset dictionaries of compact lines: prefix codes, and text that counts as a skeleton's beginning.

use deflate::Codes;
use std::sync::LazyLock;

pub const NEWEST: u8 = 1;

const FIRST: &[u8] = include_bytes!("dictionary-1.bin");

/// Returns the file of a dictionary. Number 0 is an empty one.
pub fn of_number(number: u8) -> Option<&'static [u8]> {
    match number {
        0 => Some(&[]),
        1 => Some(FIRST),
        _ => None,
    }
}

/// Returns the codes that begin a file, if there are any, and its text.
pub(super) fn split(file: &'static [u8]) -> (Option<Codes>, &'static [u8]) {
    let codes =
        file.split_first_chunk().and_then(|(lengths, text)| Some((Codes::new(lengths)?, text)));
    codes.map_or((None, file), |(codes, text)| (Some(codes), text))
}

/// The parts of a dictionary that a reader needs.
#[derive(Debug)]
pub(super) struct ToRead {
    pub(super) text: &'static [u8],
    /// Precedes a stream in the dictionary's codes; empty if there are none.
    pub(super) header: Vec<u8>,
}

pub(super) fn to_read(number: u8) -> Option<&'static ToRead> {
    static TO_READ: LazyLock<[ToRead; 2]> = LazyLock::new(|| [&[], FIRST].map(to_read_file));
    TO_READ.get(usize::from(number))
}

fn to_read_file(file: &'static [u8]) -> ToRead {
    let (codes, text) = split(file);
    ToRead { text, header: codes.and_then(|codes| codes.header()).unwrap_or_default() }
}
