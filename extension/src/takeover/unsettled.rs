//! The file in which what was acknowledged and is not settled outlives the program: requests as they were encoded, one after the
//! other, each behind its signal (a byte) and its length in bytes (four, the lowest first).
//!
//! It is there for the milliseconds that a start takes. Memory does not outlive `execve`, and a pipe holds less than a buffer does.

use crate::buffer::Buffer;
use crate::tmp_file;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use wire::{Limits, Request, SignalKind};

/// More than any buffer holds.
const MOST_BYTES: u64 = 64 << 20;

/// A process has one number all its life.
fn path() -> PathBuf {
    PathBuf::from(format!("/tmp/.lambda-otlp-unsettled-{}", std::process::id()))
}

/// Writes what a buffer holds, and locks it for good; whether anything is there to be read.
pub(crate) fn write(buffer: &Buffer) -> io::Result<bool> {
    let mut bytes = Vec::new();
    if !buffer.hand_over(|request| append(&mut bytes, request)) {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "it was being changed"));
    }
    if bytes.is_empty() {
        return Ok(false);
    }
    let path = path();
    fs::remove_file(&path).ok();
    // A new file, which nobody else can have put there or may read.
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    if let Err(error) = file.write_all(&bytes) {
        // What there was room for can be read.
        tracing::error!(%error, bytes = bytes.len(), "not all that waited to be sent can be kept, the rest is lost");
    }
    Ok(true)
}

/// What the process whose place this one takes has written, which is there once; and how many bytes cannot be read.
pub(crate) fn read() -> io::Result<(Vec<Request>, usize)> {
    let path = path();
    let bytes = content(&path);
    fs::remove_file(&path)?;
    Ok(requests(&bytes?))
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tmp_file::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
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
        // The function may write to the folder too.
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
    fn what_the_function_puts_in_its_place_is_not_waited_for_and_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "some").unwrap();
        assert_eq!(content(&path("file")).unwrap(), b"some");
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        assert!(content(&path("link")).is_err());
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        assert!(content(&path("pipe")).is_err(), "nobody writes to it");
        File::create(path("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(content(&path("huge")).unwrap().len() as u64, MOST_BYTES);
    }
}
