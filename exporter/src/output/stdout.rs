//! The process's stdout, and the thread that writes to it, so that no thread of the function waits longer than its timeout.

use super::Output;
use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The process's stdout.
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

/// A thread for operations that may block as long as nobody reads: taking the stdout lock, and writing to a full pipe. Callers wait
/// for a bounded time.
///
/// Started by the first lines; blocked in a receive between batches.
struct StdoutThread {
    write: fn(&Batch) -> Option<io::Result<()>>,
    jobs: Mutex<Option<SyncSender<Arc<Batch>>>>,
}

/// Maximum number of waiting batches. Four may come at once, one of each signal and one written before the deadline. A discarded
/// batch stays in the queue without its lines.
const QUEUE: usize = 8;

/// Lines on their way to the thread.
struct Batch {
    /// Taken by the thread when it starts to write, or by the caller when it gives up; never by both.
    lines: Mutex<Option<Vec<u8>>>,
    give_up: Instant,
    result: SyncSender<io::Result<()>>,
}

impl Batch {
    fn take(&self) -> Option<Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl StdoutThread {
    /// `write` performs the blocking part, then takes the lines; `None` if they were discarded meanwhile.
    fn new(write: fn(&Batch) -> Option<io::Result<()>>) -> Self {
        Self { write, jobs: Mutex::default() }
    }

    /// Writes whole lines and waits at most `timeout`.
    ///
    /// # Errors
    /// The error of the write, or `TimedOut`. Lines not started by then are never written. Started ones may still arrive, but
    /// count as lost, because the outcome is unknown.
    fn write_lines(&self, lines: Vec<u8>, timeout: Duration) -> io::Result<()> {
        let (result, results) = sync_channel(1);
        let batch = Arc::new(Batch {
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

    fn hand_over(&self, batch: &Arc<Batch>) -> io::Result<()> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &*jobs {
            Some(sender) => sender.clone(),
            None => jobs.insert(self.start_thread()?).clone(),
        };
        match sender.try_send(Arc::clone(batch)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(too_late("stdout is stuck")),
            Err(TrySendError::Disconnected(_)) => {
                // The next batch starts another thread.
                *jobs = None;
                Err(io::Error::other("the writing thread is gone"))
            }
        }
    }

    fn start_thread(&self) -> io::Result<SyncSender<Arc<Batch>>> {
        const STACK_BYTES: usize = 256 * 1024;
        let (sender, jobs) = sync_channel(QUEUE);
        let write = self.write;
        thread::Builder::new()
            .name("otlp-stdout".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || run(&jobs, write))?;
        Ok(sender)
    }
}

impl fmt::Debug for StdoutThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StdoutThread")
    }
}

fn run(jobs: &Receiver<Arc<Batch>>, write: fn(&Batch) -> Option<io::Result<()>>) {
    for batch in jobs {
        let written = catch_unwind(AssertUnwindSafe(|| write(&batch)));
        let written = written.unwrap_or_else(|_| Some(Err(io::Error::other("panic in a write"))));
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
fn write_to_stdout(batch: &Batch) -> Option<io::Result<()>> {
    let mut stdout = io::stdout().lock();
    let lines = batch.take()?;
    // One write per line, because the reader of the pipe may treat one write as one log event. The function's text without a
    // newline is in stdout's buffer and goes first; `write_all` retries after EINTR.
    let written = lines.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| {
        if Instant::now() > batch.give_up {
            return Err(too_late("stdout is slow"));
        }
        stdout.write_all(line)
    });
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    static LOCK: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    /// Like stdout, behind a lock that another thread may hold for any time.
    fn write_to_memory(batch: &Batch) -> Option<io::Result<()>> {
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
}
