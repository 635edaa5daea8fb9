//! The process's stdout, and the thread that writes to it, so that no thread of the function waits longer than its timeout.

use super::Output;
use crate::bounded::spawn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ioctl_fionread};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The process's stdout.
///
/// Each line is written whole under the lock of `println!`, so that no text of other threads gets inside. The descriptor stays
/// blocking: the function shares it, and its own writes would fail with EAGAIN. A separate thread locks and writes, so that
/// neither another lock holder nor a full pipe hangs the function: after the timeout the lines are discarded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl Output for Stdout {
    fn write_lines(&self, lines: &[u8], timeout: Duration) -> io::Result<()> {
        STDOUT.write_lines(lines.to_vec(), timeout)
    }
}

/// The process's only writer thread, because there is one stdout.
static STDOUT: LazyLock<StdoutThread> = LazyLock::new(|| StdoutThread::new(write_to_stdout));

/// A thread for operations that may block forever: taking the stdout lock, and writing to a full pipe. Callers wait for a bounded
/// time.
///
/// Started by the first lines; blocked in a receive between batches.
struct StdoutThread {
    write: fn(&WriteJob) -> Option<io::Result<()>>,
    jobs: Mutex<Option<SyncSender<Arc<WriteJob>>>>,
}

/// Maximum number of waiting batches. Four may come at once, one of each signal and one written before the deadline. A discarded
/// batch stays in the queue without its lines.
const QUEUE: usize = 8;

/// Lines on their way to the thread.
struct WriteJob {
    /// Taken by the thread when it starts to write, or by the caller when it gives up; never by both.
    lines: Mutex<Option<Vec<u8>>>,
    give_up: Instant,
    result: SyncSender<io::Result<()>>,
}

impl WriteJob {
    fn take(&self) -> Option<Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl StdoutThread {
    /// `write` performs the blocking part, then takes the lines; `None` if they were discarded meanwhile.
    fn new(write: fn(&WriteJob) -> Option<io::Result<()>>) -> Self {
        Self { write, jobs: Mutex::default() }
    }

    /// Writes whole lines and waits at most `timeout`.
    ///
    /// # Errors
    /// The error of the write, or `TimedOut`. Lines not started by then are never written. Started ones may still arrive, but
    /// count as lost, because the outcome is unknown.
    fn write_lines(&self, lines: Vec<u8>, timeout: Duration) -> io::Result<()> {
        let (result, results) = sync_channel(1);
        let batch = Arc::new(WriteJob {
            lines: Mutex::new(Some(lines)),
            give_up: Instant::now() + timeout,
            result,
        });
        self.hand_over(&batch)?;
        if let Ok(result) = results.recv_timeout(timeout) {
            return result;
        }
        match batch.take() {
            Some(_) => Err(too_late("stdout was not free in time")),
            // The thread has started to write: it has just finished, or is in the middle.
            None => results.try_recv().unwrap_or_else(|_| Err(too_late("stdout is slow"))),
        }
    }

    fn hand_over(&self, batch: &Arc<WriteJob>) -> io::Result<()> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = if let Some(sender) = &*jobs {
            sender.clone()
        } else {
            let (sender, batches) = sync_channel(QUEUE);
            let write = self.write;
            spawn("otlp-stdout", move || run(&batches, write))?;
            jobs.insert(sender).clone()
        };
        sender.try_send(Arc::clone(batch)).map_err(|_| too_late("stdout is stuck"))
    }
}

fn run(jobs: &Receiver<Arc<WriteJob>>, write: fn(&WriteJob) -> Option<io::Result<()>>) {
    for batch in jobs {
        let written = catch_unwind(AssertUnwindSafe(|| write(&batch)))
            .unwrap_or_else(|_| Some(Err(io::Error::other("panic in a write"))));
        if let Some(result) = written {
            // The receiver is gone if the write exceeded the timeout.
            drop(batch.result.try_send(result));
        }
    }
}

fn too_late(what: &str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, what)
}

/// Writes each line whole under the lock of `println!`.
fn write_to_stdout(batch: &WriteJob) -> Option<io::Result<()>> {
    let mut stdout = io::stdout().lock();
    let lines = batch.take()?;
    // One write per line, because the reader of the pipe may treat one write as one log event. The function's text without a
    // newline is in stdout's buffer and goes first; `write_all` retries after EINTR.
    let written = lines.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| {
        let left = batch.give_up.saturating_duration_since(Instant::now());
        wait_until_writable(&stdout, line.len(), left)?;
        stdout.write_all(line)
    });
    Some(written)
}

/// A pipe that poll(2) reports as writable accepts this many bytes at once (pipe(7), PIPE_BUF).
const PIPE_BUF: usize = 4096;
const FULL: &str = "the pipe is full, and its reader does not read";
/// Interval between checks of a non-empty pipe.
const PAUSE: Duration = Duration::from_millis(1);

/// Returns when a write of `bytes` will not block, or an error after `timeout`.
///
/// A blocking write to a pipe without an active reader would hang the function until its timeout. A line of at most PIPE_BUF
/// bytes fits if poll(2) reports the pipe as writable. A longer one, of at most the pipe's capacity of 64 KiB, waits until the
/// pipe is empty: the free space of a partly full pipe depends on the sizes of its writes.
pub(super) fn wait_until_writable(
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
            Ok(false) => return Err(too_late(FULL)),
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
            return Err(too_late(FULL));
        }
        thread::sleep(PAUSE);
    }
}

fn is_pipe(fd: &impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Fails for a closed descriptor. `std::io::Stdout` reports success instead, so the lines would be counted as written.
fn poll_out(fd: &impl AsFd, left: Duration) -> Result<bool, Errno> {
    let timeout = Timespec::try_from(left).ok();
    let mut polled = [PollFd::new(fd, PollFlags::OUT)];
    let ready = poll(&mut polled, timeout.as_ref())?;
    if polled.iter().any(|fd| fd.revents().contains(PollFlags::NVAL)) {
        return Err(Errno::BADF);
    }
    Ok(ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    static LOCK: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    /// Like stdout, guarded by a lock that another thread may hold for any time.
    fn write_to_memory(batch: &WriteJob) -> Option<io::Result<()>> {
        let mut written = LOCK.lock().unwrap();
        let lines = batch.take()?;
        assert_ne!(lines, b"panic\n");
        written.extend(lines);
        Some(Ok(()))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn writes_time_out_while_stdout_is_locked_and_resume_afterwards() {
        let stdout_thread = StdoutThread::new(write_to_memory);
        stdout_thread.write_lines(b"first\n".to_vec(), LONG).unwrap();
        let held = LOCK.lock().unwrap();
        // The thread holds one batch, the queue the next eight, and the last finds the queue full.
        for _ in 0..QUEUE + 2 {
            let error =
                stdout_thread.write_lines(b"refused\n".to_vec(), Duration::ZERO).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        drop(held);
        while stdout_thread.write_lines(b"later\n".to_vec(), LONG).is_err() {
            thread::yield_now();
        }
        assert_eq!(*LOCK.lock().unwrap(), b"first\nlater\n", "what was given up is never written");
        assert!(stdout_thread.write_lines(b"panic\n".to_vec(), LONG).is_err());
        LOCK.clear_poison();
        stdout_thread.write_lines(b"last\n".to_vec(), LONG).unwrap();
    }

    #[test]
    fn a_write_waits_for_pipe_space_until_its_timeout() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut reader = std::fs::File::from(reader);
        let mut writer = std::fs::File::from(writer);
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

    /// A descriptor for a path only has no output, like one that the function has closed.
    #[test]
    fn a_write_to_a_closed_descriptor_fails() {
        use rustix::fs::{Mode, OFlags, open};
        let closed = open("/", OFlags::PATH, Mode::empty()).unwrap();
        let waited = wait_until_writable(&closed, 1, Duration::from_secs(60));
        assert_eq!(waited.unwrap_err().raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }

    #[test]
    fn a_file_is_always_writable() {
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
        wait_until_writable(&null, 1 << 20, Duration::ZERO).unwrap();
    }
}
