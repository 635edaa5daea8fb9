//! The preset dictionaries of compact lines: prefix codes, and text that counts as a skeleton's beginning.

use deflate::Codes;
#[cfg(feature = "encode")]
use std::borrow::Cow;
#[cfg(feature = "decode")]
use std::sync::LazyLock;

/// The number of the newest dictionary.
pub const NEWEST: u8 = 1;

/// The numbers of users' own dictionaries.
#[cfg(feature = "decode")]
pub(super) const OWN_NUMBERS: std::ops::RangeInclusive<u8> = 64..=127;
/// Deflate reaches no further back.
#[cfg(feature = "decode")]
pub(super) const MOST_TEXT_BYTES: usize = 32 * 1024;

const FIRST: &[u8] = include_bytes!("dictionary-1.bin");

/// Returns the file of a dictionary. Number 0 is an empty one.
pub fn of_number(number: u8) -> Option<&'static [u8]> {
    match number {
        0 => Some(&[]),
        1 => Some(FIRST),
        _ => None,
    }
}

/// Returns the codes that begin a file, if there are any, and where its text begins.
fn split(file: &[u8]) -> (Option<Codes>, usize) {
    let codes = file.first_chunk().and_then(Codes::new);
    let text = if codes.is_some() { Codes::SYMBOLS } else { 0 };
    (codes, text)
}

/// What a writer needs of a dictionary.
#[cfg(feature = "encode")]
pub(super) struct ToWrite {
    /// The codes; `None` if the file does not begin with codes.
    pub(super) codes: Option<Codes>,
    pub(super) text: Cow<'static, [u8]>,
}

#[cfg(feature = "encode")]
impl ToWrite {
    pub(super) fn new(file: Cow<'static, [u8]>) -> Self {
        let (codes, begin) = split(&file);
        let text = match file {
            Cow::Borrowed(file) => Cow::Borrowed(file.get(begin..).unwrap_or_default()),
            Cow::Owned(mut file) => {
                file.drain(..begin);
                Cow::Owned(file)
            }
        };
        Self { codes, text }
    }
}

/// Returns the number of a user's own dictionary with this file name, `dictionary-N.bin`.
#[cfg(feature = "decode")]
pub(super) fn own_number(file_name: &str) -> Option<u8> {
    let number = file_name.strip_prefix("dictionary-")?.strip_suffix(".bin")?.parse().ok()?;
    OWN_NUMBERS.contains(&number).then_some(number)
}

/// What a reader needs of a dictionary.
#[cfg(feature = "decode")]
#[derive(Debug)]
pub(super) struct ToRead {
    pub(super) text: &'static [u8],
    /// Precedes a stream in the dictionary's codes; empty if there are none.
    pub(super) header: Vec<u8>,
}

#[cfg(feature = "decode")]
impl ToRead {
    pub(super) fn of_file(file: &'static [u8]) -> Self {
        let (codes, begin) = split(file);
        let text = file.get(begin..).unwrap_or_default();
        Self { text, header: codes.and_then(|codes| codes.header()).unwrap_or_default() }
    }
}

/// Returns a dictionary for reading.
#[cfg(feature = "decode")]
pub(super) fn to_read(number: u8) -> Option<&'static ToRead> {
    static TO_READ: LazyLock<[ToRead; 2]> =
        LazyLock::new(|| [ToRead::of_file(&[]), ToRead::of_file(FIRST)]);
    TO_READ.get(usize::from(number))
}
