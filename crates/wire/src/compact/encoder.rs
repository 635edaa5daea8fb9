//! Encodes requests into the content of a compact line.

use super::context::{self, Context, UsedNames, number_of_region};
use super::dictionary::{self, Dictionary};
use super::header::Header;
use super::history::Unit;
use super::write::{LineParts, Unwritten};
use crate::base91;
use crate::gzip::TooLarge;
use crate::request::Request;
use deflate::{Codes, Deflater, Preset};
use std::fmt;

/// The facts about skeleton and holes for the line's header.
struct WrittenParts {
    used: UsedNames,
    unit: Unit,
}

/// Encodes requests; keeps its buffers, and an index of the dictionary.
pub struct Encoder {
    number: u8,
    codes: Option<Codes>,
    preset: Preset,
    deflater: Deflater,
    skeleton: Vec<u8>,
    holes: Vec<u8>,
    packed: Vec<u8>,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("dictionary", &self.number).finish_non_exhaustive()
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new(dictionary::NEWEST)
    }
}

impl Encoder {
    /// An encoder with the dictionary of this number. Unknown ones are empty, as number 0 is.
    pub fn new(number: u8) -> Self {
        let Dictionary { codes, text } = Dictionary::of_number(number);
        Self {
            number,
            codes,
            preset: Preset::new(text),
            deflater: Deflater::default(),
            skeleton: Vec::new(),
            holes: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// Appends the text of these requests to `out`, unless it has more than `max_bytes`.
    ///
    /// # Errors
    /// `out` is as before, and the error says how much of the requests had how many bytes.
    pub(crate) fn encode(
        &mut self,
        context: &Context<'_>,
        requests: &[&Request],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        const CHECKSUM: usize = 2;
        let region = number_of_region(context.region);
        let known_region = if region.is_some() { context.region } else { "" };
        let context = Context { region: known_region, ..*context };
        let WrittenParts { used, unit } = self.write_parts(context, requests);
        self.packed.clear();
        let header = Header { unit, used, dictionary: self.number };
        header.write(&context, region, &mut self.packed);
        let max_packed = base91::bytes_in(max_bytes);
        let max_deflated = max_packed.saturating_sub(self.holes.len() + CHECKSUM);
        let input_bytes: usize = requests.iter().map(|request| request.bytes().len()).sum();
        let deflated = self.deflater.deflate_with(
            &self.preset,
            self.codes.as_ref(),
            &self.skeleton,
            max_deflated,
            &mut self.packed,
        );
        let without_holes = self.packed.len() + CHECKSUM;
        let characters = |holes: usize| (without_holes + holes) * 16 / 13;
        match deflated {
            Ok(true) => Header::note_shared_codes(&mut self.packed),
            Ok(false) => {}
            Err(read) => {
                // The holes are for all of the skeleton, of which this much was read.
                let share = |bytes: usize| bytes.saturating_mul(read) / self.skeleton.len().max(1);
                let bytes = characters(share(self.holes.len()));
                return Err(TooLarge { input_bytes: share(input_bytes), bytes });
            }
        }
        self.packed.extend_from_slice(&self.holes);
        // The checksum also covers the encoded bytes: the requests may be the same after a change of the first byte.
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.packed);
        for request in requests {
            hasher.update(request.bytes());
        }
        self.packed.extend_from_slice(&context::low_bytes(hasher.finalize()));
        if self.packed.len() > max_packed {
            return Err(TooLarge { input_bytes, bytes: characters(self.holes.len()) });
        }
        base91::push(out, &self.packed);
        Ok(())
    }

    /// Writes skeleton and holes, with the largest unit that all times have.
    fn write_parts(&mut self, context: Context<'_>, requests: &[&Request]) -> WrittenParts {
        let mut unit = Unit::Millis;
        loop {
            match self.try_parts(context, requests, unit) {
                Ok(used) => return WrittenParts { used, unit },
                Err(Unwritten::Unit(smaller)) => unit = smaller,
                Err(Unwritten::Inexpressible) => break,
            }
        }
        let mut parts = LineParts::new(&mut self.skeleton, &mut self.holes, context, unit);
        for request in requests {
            parts.plain(request.kind(), request.bytes());
        }
        WrittenParts { used: parts.used, unit }
    }

    fn try_parts(
        &mut self,
        context: Context<'_>,
        requests: &[&Request],
        unit: Unit,
    ) -> Result<UsedNames, Unwritten> {
        let mut parts = LineParts::new(&mut self.skeleton, &mut self.holes, context, unit);
        for request in requests {
            parts.request(request.kind(), request.bytes())?;
        }
        Ok(parts.used)
    }

    #[cfg(test)]
    pub(crate) fn skeleton(&mut self, context: &Context<'_>, requests: &[&Request]) -> &[u8] {
        self.write_parts(*context, requests);
        &self.skeleton
    }

    pub fn text(&mut self, context: &Context<'_>, requests: &[&Request]) -> String {
        let mut out = Vec::new();
        // No text has more bytes than the largest number.
        let _fits = self.encode(context, requests, usize::MAX, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}
