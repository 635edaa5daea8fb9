//! The beginning of a compact line's content, which says how to read the rest.
//!
//! ```text
//! byte 1    unit of the times (2 bits), unused (2 bits), names of the context that the line uses (4 bits)
//! byte 2    `1` if the skeleton is in the dictionary's codes (1 bit), number of the dictionary (7 bits)
//! byte      number of the region, if the line uses it
//! 2 bytes   check of the other names, if the line uses one
//! ```

use super::context::{Context, UsedNames};
use super::history::Unit;
#[cfg(feature = "decode")]
use super::{context::REGIONS, decode::CompactError, dictionary, read::Bytes};

const UNIT_SHIFT: u32 = 6;
#[cfg(feature = "decode")]
const UNUSED: u8 = 0b0011_0000;
const SHARED_CODES: u8 = 0x80;

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) unit: Unit,
    pub(super) used: UsedNames,
    /// The number of the dictionary.
    pub(super) dictionary: u8,
}

impl Header {
    /// Writes the header of a line that is not in the dictionary's codes.
    pub(super) fn write(self, context: &Context<'_>, region: Option<u8>, out: &mut Vec<u8>) {
        let unit = match self.unit {
            Unit::Nanos => 0,
            Unit::Micros => 1,
            Unit::Millis => 2,
        };
        out.extend_from_slice(&[unit << UNIT_SHIFT | self.used.bits(), self.dictionary]);
        out.extend(region.filter(|_| self.used.has(UsedNames::REGION)));
        if self.used.has(UsedNames::CHECKED) {
            out.extend_from_slice(&context.check(self.used));
        }
    }

    /// Notes in a written header that the skeleton is in the dictionary's codes.
    pub(super) fn note_shared_codes(header: &mut [u8]) {
        if let Some(second) = header.get_mut(1) {
            *second |= SHARED_CODES;
        }
    }
}

/// A header as a reader needs it.
#[cfg(feature = "decode")]
pub(super) struct ReadHeader<'c> {
    pub(super) unit: Unit,
    pub(super) dictionary: &'static dictionary::ToRead,
    /// `true` if the skeleton is in the dictionary's codes.
    pub(super) has_shared_codes: bool,
    /// The names that the line uses; the others are empty.
    pub(super) context: Context<'c>,
}

#[cfg(feature = "decode")]
impl<'c> ReadHeader<'c> {
    /// Reads the header of a line that a function of this context wrote.
    pub(super) fn read(bytes: &mut Bytes<'_>, context: &Context<'c>) -> Result<Self, CompactError> {
        let [first, second] = bytes.array()?;
        let number = second & !SHARED_CODES;
        let unknown = CompactError::UnknownDictionary(number);
        let dictionary = dictionary::to_read(number).ok_or(unknown)?;
        let unit = match first >> UNIT_SHIFT {
            0 => Unit::Nanos,
            1 => Unit::Micros,
            2 => Unit::Millis,
            _ => return Err(CompactError::Corrupt),
        };
        if first & UNUSED != 0 {
            return Err(CompactError::Corrupt);
        }
        let used = UsedNames::of_bits(first);
        let mut context = context.only(used);
        if used.has(UsedNames::REGION) {
            let number = usize::from(bytes.byte()?);
            context.region = REGIONS.get(number).ok_or(CompactError::Corrupt)?;
        }
        if used.has(UsedNames::CHECKED) && bytes.array()? != context.check(used) {
            return Err(CompactError::OtherContext(used.to_words()));
        }
        let has_shared_codes = second & SHARED_CODES != 0;
        Ok(Self { unit, dictionary, has_shared_codes, context })
    }
}
