//! Waits for a bounded time until a pipe accepts a line without blocking.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ioctl_fionread};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// A pipe that poll(2) reports as writable accepts this many bytes at once (pipe(7), PIPE_BUF).
const PIPE_BUF: usize = 4096;
/// Interval between checks of a non-empty pipe.
const PAUSE: Duration = Duration::from_millis(1);

/// Returns when a write of `bytes` will not block, or an error after `timeout`.
///
/// A blocking write to a pipe without an active reader would hang the function until its timeout. A line of at most PIPE_BUF
/// bytes fits if poll(2) reports the pipe as writable. A longer one, of at most the pipe's capacity of 64 KiB, waits until the
/// pipe is empty: the free space of a partly full pipe depends on the sizes of its writes.
pub(crate) fn wait_until_writable(
    fd: impl AsFd,
    bytes: usize,
    timeout: Duration,
) -> io::Result<()> {
    let start = Instant::now();
    let mut is_pipe = None;
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        match poll_out(&fd, left) {
            Ok(true) => {}
            Ok(false) => return Err(full()),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if bytes <= PIPE_BUF || !*is_pipe.get_or_insert_with(|| self::is_pipe(&fd)) {
            return Ok(());
        }
        if ioctl_fionread(&fd)? == 0 {
            return Ok(());
        }
        if left.is_zero() {
            return Err(full());
        }
        thread::sleep(PAUSE);
    }
}

fn full() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the pipe is full, and its reader does not read")
}

fn is_pipe(fd: &impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

fn poll_out(fd: &impl AsFd, left: Duration) -> Result<bool, Errno> {
    let timeout = Timespec::try_from(left).ok();
    Ok(poll(&mut [PollFd::new(fd, PollFlags::OUT)], timeout.as_ref())? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_write_waits_for_pipe_space_until_its_timeout() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (mut reader, mut writer) = (std::fs::File::from(reader), std::fs::File::from(writer));
        let short = 100;
        let long = 60 * 1024;
        let check = |writer: &std::fs::File, bytes, expected: Result<(), ErrorKind>| {
            let waited = wait_until_writable(writer, bytes, Duration::from_millis(3));
            assert_eq!(waited.map_err(|error| error.kind()), expected, "{bytes} bytes");
        };
        check(&writer, short, Ok(()));
        check(&writer, long, Ok(()));
        writer.write_all(b"x").unwrap();
        check(&writer, short, Ok(()));
        check(&writer, long, Err(ErrorKind::TimedOut));
        reader.read_exact(&mut [0]).unwrap();
        check(&writer, long, Ok(()));
        writer.write_all(&vec![b'x'; 64 * 1024]).unwrap();
        check(&writer, short, Err(ErrorKind::TimedOut));
        drop(reader);
        // The write itself reports a broken pipe.
        check(&writer, short, Ok(()));
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_file_is_always_writable() {
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
        wait_until_writable(&null, 1 << 20, Duration::ZERO).unwrap();
    }
}
