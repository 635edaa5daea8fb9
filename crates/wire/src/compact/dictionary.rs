//! The preset dictionaries of compact lines: prefix codes, and text that counts as a skeleton's beginning.

use deflate::Codes;
#[cfg(feature = "encode")]
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::path::Path;
#[cfg(feature = "decode")]
use std::sync::LazyLock;

/// The number of the newest dictionary.
pub const NEWEST: u8 = 1;

/// The numbers of users' own dictionaries.
pub(super) const OWN_NUMBERS: std::ops::RangeInclusive<u8> = 64..=127;
/// Deflate reaches no further back.
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

/// The parts of a dictionary that a writer needs.
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

/// A user's own dictionary. It lives as long as the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnDictionary {
    pub(super) number: u8,
    pub(super) file: &'static [u8],
}

impl OwnDictionary {
    /// Checks the content of a dictionary's file, whose name states its number: `dictionary-64.bin`.
    ///
    /// # Errors
    /// The path, and the reason for refusing the file.
    pub fn of_file(path: &Path, content: io::Result<Vec<u8>>) -> Result<Self, String> {
        let refused = |reason: &dyn Display| format!("{}: {reason}", path.display());
        let file = content.map_err(|error| refused(&error))?;
        let number = Self::number_of(path).map_err(|reason| refused(&reason))?;
        let (codes, begin) = split(&file);
        let has_codes = codes.and_then(|codes| codes.header()).is_some();
        if !has_codes || file.len() - begin > MOST_TEXT_BYTES {
            let reason = "it does not hold the codes and at most 32 KiB of text of a dictionary";
            return Err(refused(&reason));
        }
        Ok(Self { number, file: file.leak() })
    }

    /// Returns the number in the name of a dictionary's file.
    ///
    /// # Errors
    /// The file has another name.
    pub fn number_of(path: &Path) -> Result<u8, &'static str> {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let number = name.strip_prefix("dictionary-").and_then(|name| name.strip_suffix(".bin"));
        number
            .and_then(|number| number.parse().ok())
            .filter(|number| OWN_NUMBERS.contains(number))
            .ok_or("a dictionary is named dictionary-N.bin, with a number from 64 to 127")
    }
}

/// The parts of a dictionary that a reader needs.
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
