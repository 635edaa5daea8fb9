//! Inflates gzip with any number of members, and HTTP's `deflate`, to a bounded number of bytes.

use flate2::{Decompress, FlushDecompress, Status};
use std::cell::RefCell;
use std::io::{BufRead, ErrorKind, Read};

const MAGIC: [u8; 2] = [0x1f, 0x8b];

thread_local! {
    /// The inflate state of a thread, reused for all streams. A state is a block of 47 kB: with one allocation per stream, small
    /// strings that outlive it would fragment the heap.
    static STATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Maximum number of members. A writer that compresses in parts creates members of tens of kilobytes.
const MAX_MEMBERS: usize = 1024;

/// Returns `true` if `bytes` begin like a gzip member (RFC 1952, 2.3.1).
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    #[error("gzip stream ends early")]
    EndsEarly,
    #[error("gzip stream is corrupt (data or checksum)")]
    Corrupt,
    /// It has more members than any writer creates.
    #[error("gzip stream has more than {} members", MAX_MEMBERS)]
    TooManyMembers,
    #[error("gzip stream inflates to more than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
}

/// Inflates gzip with one or more members to at most `max_bytes`. Bytes after the last member that do not begin another one are
/// ignored, as gzip(1) does.
pub fn inflate(input: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    inflate_counted(input, max_bytes, &mut 0)
}

/// Like [`inflate`], and adds the bytes that it inflated to `inflated`, also if it fails.
pub(crate) fn inflate_counted(
    input: &[u8],
    max_bytes: usize,
    inflated: &mut usize,
) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    #[cfg(feature = "bulk")]
    if let Some(all) = super::inflate_plain(input, max_bytes) {
        *inflated += all.len();
        return Ok(all);
    }
    let result = inflate_members(input, max_bytes, &mut out);
    *inflated += out.len();
    result.map(|()| out)
}

fn inflate_members(input: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    let mut rest = input;
    for _ in 0..MAX_MEMBERS {
        let deflated = rest.get(header_len(rest)?..).ok_or(InflateError::EndsEarly)?;
        let begin = out.len();
        let consumed = inflate_with_dictionary(&[], deflated, max_bytes, out)?;
        let after_data = deflated.get(consumed..).unwrap_or_default();
        let (trailer, after) = after_data.split_at_checked(8).ok_or(InflateError::EndsEarly)?;
        let inflated = out.get(begin..).unwrap_or_default();
        // ISIZE is the size modulo 2^32.
        let [a, b, c, d, ..] = (inflated.len() as u64).to_le_bytes();
        if trailer != [crc32fast::hash(inflated).to_le_bytes(), [a, b, c, d]].concat() {
            return Err(InflateError::Corrupt);
        }
        rest = after;
        if !is_gzip(rest) {
            return Ok(());
        }
    }
    Err(InflateError::TooManyMembers)
}

/// Returns the length of a gzip member's header (RFC 1952, 2.3).
fn header_len(member: &[u8]) -> Result<usize, InflateError> {
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    // The method is deflate.
    let begin = [MAGIC[0], MAGIC[1], 8];
    if begin.iter().zip(member).any(|(expected, found)| expected != found) {
        return Err(InflateError::Corrupt);
    }
    let flags = *member.get(3).ok_or(InflateError::EndsEarly)?;
    if flags & RESERVED != 0 {
        return Err(InflateError::Corrupt);
    }
    let two_bytes = |at: usize| {
        let bytes = member.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().map(u16::from_le_bytes).ok_or(InflateError::EndsEarly)
    };
    let mut len = 10;
    if flags & EXTRA != 0 {
        len += 2 + usize::from(two_bytes(len)?);
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let rest = member.get(len..).unwrap_or_default();
            len += 1 + memchr::memchr(0, rest).ok_or(InflateError::EndsEarly)?;
        }
    }
    if flags & CHECKSUM != 0 {
        // Not verified: the header contains no data that is used, and the data have their own checksum.
        len += 2;
    }
    Ok(len)
}

/// Inflates while reading, for streams that need not be in memory as a whole. Errors contain an [`InflateError`]; above
/// `max_bytes` it is [`InflateError::TooLarge`].
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
        let read = self.inner.read(out).map_err(|error| {
            std::io::Error::other(match error.kind() {
                ErrorKind::UnexpectedEof => InflateError::EndsEarly,
                _ => InflateError::Corrupt,
            })
        })?;
        self.read += read;
        if self.read > self.max_bytes {
            return Err(std::io::Error::other(InflateError::TooLarge {
                max_bytes: self.max_bytes,
            }));
        }
        Ok(read)
    }
}

/// Inflates HTTP's `deflate` to at most `max_bytes`: a zlib stream (RFC 1950), or raw deflate, as some clients send it (RFC 9110,
/// 8.4.1.2).
pub fn inflate_deflate(input: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    // RFC 1950, 2.2: the method is deflate, and the first two bytes are a multiple of 31.
    let is_zlib = matches!(*input, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31));
    let mut out = Vec::new();
    STATE.with_borrow_mut(|state| {
        state.reset(is_zlib);
        inflate_with(state, input, max_bytes, &mut out)
    })?;
    Ok(out)
}

/// Inflates a stream of deflate that begins `input` and was made with a dictionary; returns its length.
pub(crate) fn inflate_with_dictionary(
    dictionary: &[u8],
    input: &[u8],
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<usize, InflateError> {
    STATE.with_borrow_mut(|state| {
        state.reset(false);
        if !dictionary.is_empty() {
            state.set_dictionary(dictionary).map_err(|_| InflateError::Corrupt)?;
        }
        inflate_with(state, input, max_bytes, out)
    })
}

/// Inflates one stream with a state that was reset; returns its length.
fn inflate_with(
    state: &mut Decompress,
    input: &[u8],
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<usize, InflateError> {
    let mut consumed = 0;
    loop {
        // One byte more than allowed distinguishes a stream of exactly `max_bytes` from a longer one.
        let room = max_bytes.saturating_add(1) - out.len();
        let step = out.len().max((input.len() * 4).clamp(1024, 1024 * 1024));
        // `Vec::reserve` would double the allocation beyond the limit, and the inflater writes to all of it.
        out.reserve_exact(room.min(step));
        let rest = input.get(consumed..).unwrap_or_default();
        let status = state
            .decompress_vec(rest, out, FlushDecompress::None)
            .map_err(|_| InflateError::Corrupt)?;
        consumed = usize::try_from(state.total_in()).unwrap_or(input.len());
        if out.len() > max_bytes {
            return Err(InflateError::TooLarge { max_bytes });
        }
        match status {
            Status::StreamEnd => return Ok(consumed),
            // No progress although there was room: the input has ended.
            Status::BufError => return Err(InflateError::EndsEarly),
            Status::Ok => {}
        }
    }
}
