//! Rebuilds strings.

use super::codes::{BASE_32, BASE_36, BASE_62, END, Packing, text as code};
use super::decode::CompactError;
use super::read::Rebuilder;
use crate::ids::push_hex;
use std::io::Write as _;

type Result<T> = std::result::Result<T, CompactError>;

impl Rebuilder<'_> {
    /// Appends a string up to its end.
    pub(super) fn text(&mut self, out: &mut Vec<u8>) -> Result<()> {
        loop {
            let rest = self.skeleton.0;
            let at = rest.iter().position(|byte| code::is_code(*byte));
            out.extend_from_slice(self.skeleton.take(at.ok_or(CompactError::Corrupt)?)?);
            match self.skeleton.byte()? {
                END => return Ok(()),
                code::ESCAPE => out.push(self.skeleton.byte()?),
                code::UUID => {
                    let mut id = Vec::with_capacity(16);
                    self.id(&mut id)?;
                    push_groups(out, &id, &[4, 2, 2, 2]);
                }
                code::XRAY => {
                    let mut id = Vec::with_capacity(16);
                    self.id(&mut id)?;
                    out.extend_from_slice(b"1-");
                    push_groups(out, &id, &[4]);
                }
                code::HEX_ID => {
                    let mut id = Vec::with_capacity(16);
                    self.id(&mut id)?;
                    push_hex(out, &id);
                }
                code::HEX => {
                    let length = self.skeleton.byte()?;
                    push_hex(out, self.holes.take(usize::from(length))?);
                }
                code::DECIMAL => {
                    let value = self.holes.long_varint()?;
                    // Writing into memory cannot fail.
                    let _written = write!(out, "{value}");
                }
                code::IPV4 => {
                    let address = std::net::Ipv4Addr::from(self.holes.array::<4>()?);
                    let _written = write!(out, "{address}");
                }
                code::BASE_32 => self.packed_text(&BASE_32, out)?,
                code::BASE_36 => self.packed_text(&BASE_36, out)?,
                code::BASE_62 => self.packed_text(&BASE_62, out)?,
                code::FUNCTION => push_name(out, self.context.function)?,
                code::ACCOUNT => push_name(out, self.context.account)?,
                code::LOG_STREAM => push_name(out, self.context.log_stream)?,
                code::REGION => push_name(out, self.context.region)?,
                _ => return Err(CompactError::Corrupt),
            }
            self.bound(out)?;
        }
    }

    fn packed_text(&mut self, packing: &Packing, out: &mut Vec<u8>) -> Result<()> {
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
                out.extend(
                    usize::try_from(digit).ok().and_then(|digit| packing.alphabet.get(digit)),
                );
            }
        }
        out.extend_from_slice(self.holes.take((length % packing.chars).into())?);
        Ok(())
    }
}

/// Appends a name of the context, which must be one that the line declares.
fn push_name(out: &mut Vec<u8>, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(CompactError::Corrupt);
    }
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

/// Appends hexadecimal digits, with a hyphen after each group of so many bytes.
fn push_groups(out: &mut Vec<u8>, mut bytes: &[u8], groups: &[usize]) {
    for length in groups {
        let (group, rest) = bytes.split_at_checked(*length).unwrap_or((bytes, &[]));
        push_hex(out, group);
        out.push(b'-');
        bytes = rest;
    }
    push_hex(out, bytes);
}
