//! Encodes requests into the content of a compact line.

use super::context::{self, Context, REGIONS};
use super::dictionary;
use super::history::Unit;
use super::write::{LineParts, Unwritten};
use crate::base91;
use crate::gzip::TooLarge;
use crate::request::Request;
use deflate::{Codes, Deflater, Preset};
use std::fmt;

/// The place of the unit of times in the first byte.
const UNIT_SHIFT: u32 = 6;
/// The bit of the second byte, above the dictionary's number: the skeleton is in the dictionary's codes.
const SHARED_CODES: u8 = 0x80;

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
        let (codes, text) = dictionary::of_number(number);
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
        let region = REGIONS
            .iter()
            .position(|region| *region == context.region)
            .and_then(|number| u8::try_from(number).ok());
        let context = Context { region: region.map_or("", |_| context.region), ..*context };
        let (used, unit) = self.parts(context, requests);
        self.packed.clear();
        self.packed.extend_from_slice(&[used | (unit as u8) << UNIT_SHIFT, self.number]);
        self.packed.extend(region.filter(|_| used & context::REGION != 0));
        if used & !context::REGION != 0 {
            self.packed.extend_from_slice(&context.check(used));
        }
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
            Ok(true) => {
                if let Some(number) = self.packed.get_mut(1) {
                    *number |= SHARED_CODES;
                }
            }
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

    /// Writes skeleton and holes; returns the names they use, and the unit of their times.
    fn parts(&mut self, context: Context<'_>, requests: &[&Request]) -> (u8, Unit) {
        let mut unit = Unit::Millis;
        let mut all_plain = false;
        'again: loop {
            let skeleton = &mut self.skeleton;
            let holes = &mut self.holes;
            let mut parts = LineParts::new(skeleton, holes, context, unit);
            for request in requests {
                if all_plain {
                    parts.plain(request.kind(), request.bytes());
                    continue;
                }
                match parts.request(request.kind(), request.bytes()) {
                    Ok(()) => {}
                    Err(Unwritten::Unit(smaller)) => {
                        unit = smaller;
                        continue 'again;
                    }
                    Err(Unwritten::Inexpressible) => {
                        all_plain = true;
                        continue 'again;
                    }
                }
            }
            return (parts.used, unit);
        }
    }

    #[cfg(test)]
    pub(crate) fn skeleton(&mut self, context: &Context<'_>, requests: &[&Request]) -> &[u8] {
        let _names_and_unit = self.parts(*context, requests);
        &self.skeleton
    }

    pub fn text(&mut self, context: &Context<'_>, requests: &[&Request]) -> String {
        let mut out = Vec::new();
        // No text has more bytes than the largest number.
        let _fits = self.encode(context, requests, usize::MAX, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}
