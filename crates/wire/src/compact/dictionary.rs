//! The preset dictionaries of compact lines: prefix codes, and text that counts as a skeleton's beginning.

use deflate::Codes;
use std::sync::LazyLock;

pub(super) const NEWEST: u8 = 1;

const FIRST: &[u8] = include_bytes!("dictionary-1.bin");

/// A dictionary as a writer needs it.
#[derive(Default)]
pub(super) struct Dictionary {
    pub(super) codes: Option<Codes>,
    pub(super) text: &'static [u8],
}

impl Dictionary {
    /// Returns an empty dictionary for an unknown number.
    pub(super) fn of_number(number: u8) -> Self {
        match FIRST.split_first_chunk() {
            Some((lengths, text)) if number == 1 => Self { codes: Some(Codes::new(lengths)), text },
            _ => Self::default(),
        }
    }
}

/// The parts of a dictionary that a reader needs.
#[derive(Debug)]
pub(super) struct ToRead {
    pub(super) text: &'static [u8],
    /// Precedes a stream in the dictionary's codes; empty if there are none.
    pub(super) header: Vec<u8>,
}

pub(super) fn to_read(number: u8) -> Option<&'static ToRead> {
    static TO_READ: LazyLock<[ToRead; 2]> = LazyLock::new(|| {
        [0, 1].map(|number| {
            let Dictionary { codes, text } = Dictionary::of_number(number);
            ToRead { text, header: codes.and_then(|codes| codes.header()).unwrap_or_default() }
        })
    });
    TO_READ.get(usize::from(number))
}
