//! A named pipe that an extension reads, with stdout as the fallback.

use super::Output;
use super::stdout::Stdout;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

/// Path of the named pipe for `OTLP_STDOUT_SPAN_EXPORTER_OUTPUT_TYPE=pipe`.
pub const PIPE_PATH: &str = "/tmp/otlp-stdout-span-exporter.pipe";

/// A named pipe that an extension reads; without a reader the lines go to stdout.
///
/// ```
/// use lambda_otlp_exporter::{NamedPipe, TelemetryConfig};
/// use std::sync::Arc;
///
/// let pipe = NamedPipe::new("/tmp/orders.pipe");
/// let config = TelemetryConfig::builder().with_output(Arc::new(pipe)).build();
/// ```
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
    /// Uses the pipe at `path`, which the first line opens.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the pipe for one batch: its reader treats the end of file as the end of a batch.
    ///
    /// With O_NONBLOCK, opening a pipe without a reader is an error (ENXIO); otherwise open(2) would wait for a reader.
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
    fn write_lines(&self, lines: &[u8], timeout: Duration) -> io::Result<()> {
        match self.open().and_then(|mut pipe| write_until_timeout(&mut pipe, lines, timeout)) {
            Ok(()) => Ok(()),
            Err(_) => Stdout.write_lines(lines, timeout),
        }
    }
}

/// Writes to a non-blocking pipe, and retries each millisecond while it is full.
fn write_until_timeout(
    pipe: &mut impl Write,
    mut lines: &[u8],
    timeout: Duration,
) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(1);
    let mut pauses_left = timeout.as_millis();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts at most `at_once` bytes a call, and refuses every second call.
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
    fn a_full_pipe_is_retried_without_duplicate_bytes() {
        let mut pipe = Narrow { taken: Vec::new(), at_once: 3, refusals: 4, refuse_next: false };
        write_until_timeout(&mut pipe, b"{\"a\":1}\n", Duration::from_millis(4)).unwrap();
        assert_eq!(pipe.taken, b"{\"a\":1}\n");
        let mut stuck =
            Narrow { taken: Vec::new(), at_once: 0, refusals: 1000, refuse_next: false };
        let error = write_until_timeout(&mut stuck, b"x", Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_pipe_receives_all_lines_and_requires_a_reader() {
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
        // End of file: the pipe was closed after the batch.
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
