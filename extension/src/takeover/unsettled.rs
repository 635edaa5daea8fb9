//! The file in which what was acknowledged and is not settled outlives the program: requests as they were encoded, one after the
//! other, each behind its signal (a byte) and its length in bytes (four, the lowest first).
//!
//! The file is in memory and has no name, so a full `/tmp` does not matter and no function can access it. `execve` keeps its descriptor
//! open. A pipe would hold less than a buffer.

use crate::buffer::Buffer;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::RawFd;
use wire::{Limits, Request, SignalKind};

/// Writes the content of a buffer, and locks the buffer permanently. Returns the file, unless it is empty. The file must stay open
/// until `execve`.
pub(crate) fn write(buffer: &Buffer) -> io::Result<Option<File>> {
    let mut bytes = Vec::new();
    if !buffer.hand_over(|request| append(&mut bytes, request)) {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "it was being changed"));
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut file = File::from(memfd_create("lambda-otlp-unsettled", MemfdFlags::empty())?);
    if let Err(error) = file.write_all(&bytes) {
        // What there was room for can be read.
        tracing::error!(%error, bytes = bytes.len(), "not all that waited to be sent can be kept, the rest is lost");
    }
    Ok(Some(file))
}

/// Reads the file of the replaced process, and frees its memory. Also returns the number of unreadable bytes.
pub(crate) fn read(number: RawFd) -> io::Result<(Vec<Request>, usize)> {
    let path = format!("/proc/self/fd/{number}");
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // Its number stays open.
    file.set_len(0)?;
    Ok(requests(&bytes))
}

fn append(bytes: &mut Vec<u8>, request: &Request) {
    let kind = SignalKind::ALL.iter().position(|kind| *kind == request.kind()).unwrap_or_default();
    // The buffer is smaller than what four bytes can say.
    let length = u32::try_from(request.bytes().len()).unwrap_or(u32::MAX);
    bytes.push(u8::try_from(kind).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(request.bytes());
}

fn requests(mut bytes: &[u8]) -> (Vec<Request>, usize) {
    let (mut requests, mut unread) = (Vec::new(), 0);
    while let [kind, a, b, c, d, rest @ ..] = bytes {
        let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let Some((request, others)) = rest.split_at_checked(length) else { break };
        let kind = SignalKind::ALL.get(usize::from(*kind));
        match kind.map(|kind| Request::check(*kind, request.to_vec(), &Limits::default())) {
            Some(Ok(request)) => requests.push(request),
            _ => unread += length,
        }
        bytes = others;
    }
    (requests, unread + bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_spans::{Span, traces};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_off_is_told() {
        let all = [traces(&[Span::default(), Span::default()]), traces(&[Span::default()])];
        let mut bytes = Vec::new();
        assert_eq!(requests(&bytes), (Vec::new(), 0));
        for request in &all {
            append(&mut bytes, request);
        }
        assert_eq!(requests(&bytes), (all.to_vec(), 0));
        let first = 5 + all[0].bytes().len();
        for end in [1, 4, 5, first - 1] {
            assert_eq!(requests(&bytes[..end]), (Vec::new(), end));
            assert_eq!(requests(&bytes[..first + end.min(7)]).0, all[..1]);
        }
        bytes[0] = 7;
        assert_eq!(requests(&bytes), (all[1..].to_vec(), all[0].bytes().len()));
        bytes[0] = 0;
        bytes[5] = 0xff;
        assert_eq!(requests(&bytes).0, all[1..]);
    }

    #[test]
    fn what_waits_is_kept_in_memory_alone_and_read_once() {
        let buffer = Buffer::new(1 << 20);
        assert!(write(&Buffer::new(1 << 20)).unwrap().is_none());
        let waiting = traces(&[Span::default()]);
        buffer.put(waiting.clone()).unwrap();
        let file = write(&buffer).unwrap().unwrap();
        let number = file.as_raw_fd();
        let place = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        assert!(place.starts_with("/memfd:lambda-otlp-unsettled (deleted)"), "{place:?}");
        assert_eq!(read(number).unwrap(), (vec![waiting], 0));
        assert_eq!(read(number).unwrap(), (Vec::new(), 0), "its memory is free");
    }
}
