//! The preset dictionaries of compact lines.

/// The number of the newest dictionary.
pub const NEWEST: u8 = 1;

const FIRST: &[u8] = include_bytes!("dictionary-1.bin");

/// The newest dictionary.
#[cfg(feature = "encode")]
pub(super) fn newest() -> &'static [u8] {
    FIRST
}

/// Returns the dictionary of a number. Number 0 is an empty one.
pub fn of_number(number: u8) -> Option<&'static [u8]> {
    match number {
        0 => Some(&[]),
        1 => Some(FIRST),
        _ => None,
    }
}
