//! Where lines go: stdout, which is the wire; a named pipe of an extension; memory, in tests.

use crate::writer;
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Takes lines.
pub trait Output: Send + Sync + Debug {
    /// Writes one or more whole lines, each with its newline, and waits at most `patience` for whoever reads them.
    ///
    /// # Errors
    /// Whatever kept the lines from being written; they are then counted as lost.
    fn write_lines(&self, lines: &[u8], patience: Duration) -> io::Result<()>;
}

/// The process's stdout.
///
/// Each line is written whole under the lock that `println!` takes, so that text of other threads never lands inside it.
/// The descriptor stays as it is: it is shared with the function, and O_NONBLOCK would be set for all. A thread of its
/// own takes the lock and writes, so that neither a lock that somebody holds nor a pipe that nobody empties hangs the
/// function: when the patience is over, the lines are given up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl Output for Stdout {
    fn write_lines(&self, lines: &[u8], patience: Duration) -> io::Result<()> {
        writer::STDOUT.write_lines(lines.to_vec(), patience)
    }
}

/// Path of the named pipe that `OTLP_STDOUT_SPAN_EXPORTER_OUTPUT_TYPE=pipe` chooses.
pub const PIPE_PATH: &str = "/tmp/otlp-stdout-span-exporter.pipe";

/// A named pipe that an extension reads; without a reader the lines go to stdout.
#[derive(Debug, Clone)]
pub struct NamedPipe {
    path: PathBuf,
}

impl Default for NamedPipe {
    fn default() -> Self {
        Self::new(PIPE_PATH)
    }
}

impl NamedPipe {
    /// The pipe at `path`. Nothing is opened before the first line.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the pipe for one batch: its reader takes the end of file for the end of a batch.
    ///
    /// With O_NONBLOCK, a pipe that nobody reads is an error and not a wait for ever (open(2), ENXIO).
    fn open(&self) -> io::Result<File> {
        let file = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&self.path)?;
        if file.metadata()?.file_type().is_fifo() {
            Ok(file)
        } else {
            Err(io::Error::new(ErrorKind::InvalidInput, "not a named pipe"))
        }
    }
}

#[cfg(target_os = "linux")]
const O_NONBLOCK: i32 = 0o4000;
#[cfg(not(target_os = "linux"))]
const O_NONBLOCK: i32 = 0x4;

impl Output for NamedPipe {
    fn write_lines(&self, lines: &[u8], patience: Duration) -> io::Result<()> {
        match self.open().and_then(|mut pipe| write_with_patience(&mut pipe, lines, patience)) {
            Ok(()) => Ok(()),
            Err(_) => Stdout.write_lines(lines, patience),
        }
    }
}

/// Writes to a pipe that does not block: a full one is tried again each millisecond.
fn write_with_patience(
    pipe: &mut impl Write,
    mut lines: &[u8],
    patience: Duration,
) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(1);
    let mut pauses_left = patience.as_millis();
    while !lines.is_empty() {
        match pipe.write(lines) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && pauses_left > 0 => {
                pauses_left -= 1;
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Keeps the lines, for tests.
///
/// ```
/// use lambda_otlp_exporter::{InMemoryOutput, Output as _};
/// let output = InMemoryOutput::default();
/// output.write_lines(b"{}\n", std::time::Duration::ZERO)?;
/// assert_eq!(output.take_lines(), ["{}"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct InMemoryOutput {
    written: Mutex<Vec<u8>>,
}

impl InMemoryOutput {
    /// The lines written since the last call, without their newlines.
    pub fn take_lines(&self) -> Vec<String> {
        let written =
            std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&written).lines().map(str::to_owned).collect()
    }
}

impl Output for InMemoryOutput {
    fn write_lines(&self, lines: &[u8], _patience: Duration) -> io::Result<()> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `at_once` bytes a call, and refuses every second call.
    struct Narrow {
        taken: Vec<u8>,
        at_once: usize,
        refusals: usize,
        refuse_next: bool,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.refuse_next = !self.refuse_next;
            if self.refuse_next && self.refusals > 0 {
                self.refusals -= 1;
                return Err(ErrorKind::WouldBlock.into());
            }
            let taken = &bytes[..bytes.len().min(self.at_once)];
            self.taken.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_pipe_is_tried_again_and_nothing_is_written_twice() {
        let mut pipe = Narrow { taken: Vec::new(), at_once: 3, refusals: 4, refuse_next: false };
        write_with_patience(&mut pipe, b"{\"a\":1}\n", Duration::from_millis(4)).unwrap();
        assert_eq!(pipe.taken, b"{\"a\":1}\n");
        let mut stuck =
            Narrow { taken: Vec::new(), at_once: 0, refusals: 1000, refuse_next: false };
        let error = write_with_patience(&mut stuck, b"x", Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_pipe_takes_the_lines_and_one_without_a_reader_does_not_block() {
        use std::io::Read as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let owner = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, owner).unwrap();
        let pipe = NamedPipe::new(&path);
        let nobody_reads = pipe.open().unwrap_err();
        assert_eq!(nobody_reads.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()));
        let mut reader = File::options().read(true).custom_flags(O_NONBLOCK).open(&path).unwrap();
        pipe.write_lines(b"{}\n{}\n", Duration::ZERO).unwrap();
        let mut read = String::new();
        // The end of file: the pipe was closed after the batch.
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "{}\n{}\n");
    }

    #[test]
    fn a_missing_pipe_and_a_file_in_its_place_are_refused() {
        let missing = NamedPipe::new("/nonexistent/pipe");
        assert_eq!(missing.open().unwrap_err().kind(), ErrorKind::NotFound);
        let own_source = NamedPipe::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert_eq!(own_source.open().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
