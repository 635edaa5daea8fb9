//! Gzip with a bound on what is inflated, and with a state that is kept between lines.
//!
//! A fresh deflate state costs more than compressing one line of a few spans: the exporter keeps
//! one [`Compressor`] for the life of the environment.

#![cfg(any(feature = "encode", feature = "decode"))]

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;
use std::io::{BufRead, Read};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const WINDOW_BITS: u8 = 15;

/// True if `bytes` begin as a gzip member does (RFC 1952, 2.3.1).
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Compresses one buffer after the other into single-member gzip.
///
/// Never more than one member: OpenObserve decodes only the first and answers 200.
pub struct Compressor {
    level: u32,
    state: Option<Compress>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor of level 0 (stored) to 9 (smallest); higher levels count as 9. The state is
    /// allocated by the first use.
    pub fn new(level: u32) -> Self {
        Self { level: level.min(9), state: None }
    }

    /// Appends one gzip member that holds `input` to `out`.
    pub fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let level = Compression::new(self.level);
        let state = self.state.get_or_insert_with(|| Compress::new(level, false));
        state.reset();
        // RFC 1952: deflate, no flags, no time (equal input gives equal lines), unknown OS.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let mut consumed = 0;
        loop {
            out.reserve((input.len() - consumed) / 2 + 128);
            let rest = input.get(consumed..).unwrap_or_default();
            let before = state.total_in();
            let status = state.compress_vec(rest, out, FlushCompress::Finish);
            consumed += usize::try_from(state.total_in() - before).unwrap_or(0);
            if matches!(status, Ok(Status::StreamEnd) | Err(_)) {
                break;
            }
        }
        let mut crc = flate2::Crc::new();
        crc.update(input);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        // ISIZE is the size modulo 2^32.
        let [a, b, c, d, ..] = (input.len() as u64).to_le_bytes();
        out.extend_from_slice(&[a, b, c, d]);
    }
}

/// Compresses `input` into one gzip member. With the feature `bulk` the levels are libdeflate's, up to 12.
pub fn compress(level: u32, input: &[u8]) -> Vec<u8> {
    #[cfg(feature = "bulk")]
    if let Some(out) = crate::libdeflate::compress(level, input) {
        return out;
    }
    let mut out = Vec::new();
    Compressor::new(level).compress(input, &mut out);
    out
}

/// Why gzip could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InflateError {
    /// The stream ends before its trailer.
    EndsEarly,
    /// Header, deflate data or checksum are wrong.
    Corrupt,
    /// More than the allowed number of bytes would come out.
    TooLarge {
        /// The number of bytes allowed.
        max_bytes: usize,
    },
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndsEarly => f.write_str("gzip stream ends early"),
            Self::Corrupt => f.write_str("gzip stream is corrupt (data or checksum)"),
            Self::TooLarge { max_bytes } => {
                write!(f, "gzip stream inflates to more than {max_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for InflateError {}

/// Inflates gzip of one or more members to at most `max_bytes`. Bytes behind the last member
/// that begin no other member are ignored, as gzip(1) does.
pub fn inflate(input: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    #[cfg(feature = "bulk")]
    if let Some(out) = crate::libdeflate::inflate(input, max_bytes) {
        return Ok(out);
    }
    inflate_members(input, max_bytes)
}

fn inflate_members(input: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    let mut rest = input;
    loop {
        let consumed = inflate_member(rest, max_bytes, &mut out)?;
        rest = rest.get(consumed..).unwrap_or_default();
        if !is_gzip(rest) {
            return Ok(out);
        }
    }
}

/// Inflates one gzip member that is all of `input` and says itself that it inflates to at most `max_bytes`; quickly, since
/// it is known how much comes out. `None` for all else: [`reader`] reads it, or says what is wrong.
pub fn inflate_plain(input: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
    #[cfg(feature = "bulk")]
    {
        crate::libdeflate::inflate(input, max_bytes)
    }
    #[cfg(not(feature = "bulk"))]
    {
        // ISIZE (RFC 1952, 2.3.1), which is the size of the last member modulo 2^32.
        let size = usize::try_from(u32::from_le_bytes(*input.last_chunk()?)).ok()?;
        let is_small = is_gzip(input) && size <= max_bytes;
        is_small.then(|| inflate_members(input, max_bytes).ok())?
    }
}

/// Inflates while reading, for streams that need not be in memory as a whole; fails with
/// [`InflateError::TooLarge`] inside the I/O error once more than `max_bytes` came out.
pub fn reader<R: BufRead>(input: R, max_bytes: usize) -> impl Read {
    #[expect(clippy::disallowed_types, reason = "this is where the bound is put on")]
    BoundedReader { inner: flate2::bufread::MultiGzDecoder::new(input), max_bytes, read: 0 }
}

struct BoundedReader<R> {
    inner: R,
    max_bytes: usize,
    read: usize,
}

impl<R: Read> Read for BoundedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(out)?;
        self.read += read;
        if self.read > self.max_bytes {
            return Err(std::io::Error::other(InflateError::TooLarge {
                max_bytes: self.max_bytes,
            }));
        }
        Ok(read)
    }
}

fn inflate_member(
    input: &[u8],
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<usize, InflateError> {
    let mut state = Decompress::new_gzip(WINDOW_BITS);
    let mut consumed = 0;
    loop {
        let room = max_bytes - out.len();
        // One byte more than allowed tells a stream of exactly `max_bytes` from a longer one.
        let step = (room + 1).min((input.len() * 4).clamp(1024, 1024 * 1024));
        out.reserve(step);
        let rest = input.get(consumed..).unwrap_or_default();
        let (in_before, out_before) = (state.total_in(), out.len());
        let status = state
            .decompress_vec(rest, out, FlushDecompress::None)
            .map_err(|_| InflateError::Corrupt)?;
        consumed += usize::try_from(state.total_in() - in_before).unwrap_or(0);
        if out.len() > max_bytes {
            return Err(InflateError::TooLarge { max_bytes });
        }
        if status == Status::StreamEnd {
            return Ok(consumed);
        }
        let stuck = out.len() == out_before && state.total_in() == in_before;
        if stuck && consumed >= input.len() {
            return Err(InflateError::EndsEarly);
        }
        if stuck && status == Status::BufError && out.capacity() > out.len() {
            return Err(InflateError::Corrupt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_inflates_again_at_every_level() {
        let input: Vec<u8> = (0..100_000u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        for level in 0..=9 {
            let mut compressor = Compressor::new(level);
            for length in [0, 1, 1000, input.len()] {
                let mut out = Vec::new();
                compressor.compress(&input[..length], &mut out);
                assert_eq!(inflate(&out, input.len()).unwrap(), &input[..length], "level {level}");
            }
        }
    }

    #[test]
    fn the_bound_is_exact() {
        let gzip = compress(6, &[7; 5000]);
        assert_eq!(inflate(&gzip, 5000).unwrap().len(), 5000);
        assert_eq!(inflate(&gzip, 4999), Err(InflateError::TooLarge { max_bytes: 4999 }));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_reader() {
        let check = |gzip: &[u8], max_bytes, expected: Option<usize>| {
            assert_eq!(inflate_plain(gzip, max_bytes).map(|out| out.len()), expected);
        };
        let gzip = compress(6, &[7; 5000]);
        check(&gzip, 5000, Some(5000));
        check(&gzip, 4999, None);
        check(&gzip[..gzip.len() - 1], 5000, None);
        check(&[], 5000, None);
        check(b"text", 5000, None);
        let mut corrupt = gzip.clone();
        corrupt[20] ^= 1;
        check(&corrupt, 5000, None);
        // Two members are read to the end or not at all, whatever the last one says of its size.
        let two = [gzip.as_slice(), gzip.as_slice()].concat();
        let read = inflate_plain(&two, 10_000).map(|out| out.len());
        assert!(read.is_none_or(|read| read == 10_000), "{read:?}");
    }

    #[test]
    fn the_reader_has_the_same_bound() {
        let gzip = compress(6, &[7; 5000]);
        let mut out = Vec::new();
        assert_eq!(reader(gzip.as_slice(), 5000).read_to_end(&mut out).unwrap(), 5000);
        let error = reader(gzip.as_slice(), 4999).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "gzip stream inflates to more than 4999 bytes");
    }

    #[test]
    fn members_are_read_to_the_end_and_garbage_behind_them_is_not() {
        let two = [compress(6, b"one"), compress(6, b"two")].concat();
        assert_eq!(inflate(&two, 100).unwrap(), b"onetwo");
        let garbage = [compress(6, b"one"), b"garbage".to_vec()].concat();
        assert_eq!(inflate(&garbage, 100).unwrap(), b"one");
    }

    #[test]
    fn broken_streams_say_how() {
        let gzip = compress(6, b"some text that is long enough to be cut somewhere");
        assert_eq!(inflate(&gzip[..gzip.len() - 9], 1000), Err(InflateError::EndsEarly));
        assert_eq!(inflate(&gzip[..20], 1000), Err(InflateError::EndsEarly));
        let mut crc = gzip.clone();
        let at = crc.len() - 6;
        crc[at] ^= 1;
        assert_eq!(inflate(&crc, 1000), Err(InflateError::Corrupt));
        assert_eq!(inflate(b"\x1f\x8bnonsense", 1000), Err(InflateError::Corrupt));
    }
}
