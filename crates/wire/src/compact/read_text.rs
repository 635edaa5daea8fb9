//! Rebuilds strings.

use super::codes::{BASE_32, BASE_36, BASE_62, END, Packing, text as code};
use super::decode::CompactError;
use super::read::Rebuilder;
use crate::ids::push_hex;
use std::io::Write as _;

type Result<T> = std::result::Result<T, CompactError>;

impl Rebuilder<'_> {
    /// Appends a string up to its end.
    pub(super) fn text(&mut self) -> Result<()> {
        loop {
            let rest = self.skeleton.unread();
            let at = rest.iter().position(|byte| code::is_code(*byte));
            self.out.extend_from_slice(self.skeleton.take(at.ok_or(CompactError::Corrupt)?)?);
            match self.skeleton.byte()? {
                END => return Ok(()),
                code::ESCAPE => self.out.push(self.skeleton.byte()?),
                code::UUID => self.id_in_hex(&[4, 2, 2, 2])?,
                code::XRAY => {
                    self.out.extend_from_slice(b"1-");
                    self.id_in_hex(&[4])?;
                }
                code::HEX_ID => self.id_in_hex(&[])?,
                code::HEX => {
                    let length = self.skeleton.byte()?;
                    push_hex(&mut self.out, self.holes.take(usize::from(length))?);
                }
                code::DECIMAL => {
                    let value = self.holes.long_varint()?;
                    // Writing into memory cannot fail.
                    let _written = write!(self.out, "{value}");
                }
                code::IPV4 => {
                    let address = std::net::Ipv4Addr::from(self.holes.array::<4>()?);
                    let _written = write!(self.out, "{address}");
                }
                code::BASE_32 => self.packed_text(&BASE_32)?,
                code::BASE_36 => self.packed_text(&BASE_36)?,
                code::BASE_62 => self.packed_text(&BASE_62)?,
                code::FUNCTION => self.name(self.context.function)?,
                code::ACCOUNT => self.name(self.context.account)?,
                code::LOG_STREAM => self.name(self.context.log_stream)?,
                code::REGION => self.name(self.context.region)?,
                _ => return Err(CompactError::Corrupt),
            }
            self.check_size()?;
        }
    }

    fn packed_text(&mut self, packing: &Packing) -> Result<()> {
        let length = self.skeleton.byte()?;
        for _ in 0..length / packing.chars {
            let mut word = [0; 8];
            for (byte, hole) in word.iter_mut().zip(self.holes.take(packing.bytes.into())?) {
                *byte = *hole;
            }
            let value = u64::from_le_bytes(word);
            let radix = packing.alphabet.len() as u64;
            for place in (0..packing.chars).rev() {
                let digit = value / radix.pow(place.into()) % radix;
                self.out.extend(
                    usize::try_from(digit).ok().and_then(|digit| packing.alphabet.get(digit)),
                );
            }
        }
        self.out.extend_from_slice(self.holes.take((length % packing.chars).into())?);
        Ok(())
    }

    /// Appends a name of the context, which must be one that the line declares.
    fn name(&mut self, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(CompactError::Corrupt);
        }
        self.out.extend_from_slice(name.as_bytes());
        Ok(())
    }

    /// Appends an id as hexadecimal digits, with a hyphen after each group of this number of bytes.
    fn id_in_hex(&mut self, groups: &[usize]) -> Result<()> {
        let id_at = self.out.len();
        self.id()?;
        let id = self.out.split_off(id_at);
        let mut rest = id.as_slice();
        for length in groups {
            let (group, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            push_hex(&mut self.out, group);
            self.out.push(b'-');
            rest = after;
        }
        push_hex(&mut self.out, rest);
        Ok(())
    }
}
