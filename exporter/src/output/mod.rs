//! Destinations of lines: stdout, or memory in tests.

pub(crate) mod stderr;
pub(crate) mod stdout;

use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Receives the lines of the exporters.
///
/// ```
/// use lambda_otlp_exporter::TelemetryConfig;
/// use lambda_otlp_exporter::export::Output;
/// use std::io::{self, Write as _};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// /// Writes lines to stderr.
/// #[derive(Debug)]
/// struct Stderr;
///
/// impl Output for Stderr {
///     fn write_lines(&self, lines: &[u8], _timeout: Duration) -> io::Result<()> {
///         io::stderr().write_all(lines)
///     }
/// }
///
/// let config = TelemetryConfig::builder().with_output(Arc::new(Stderr)).build();
/// ```
pub trait Output: Send + Sync + Debug {
    /// Writes one or more whole lines, each with its newline, and waits at most `timeout` for their reader.
    ///
    /// # Errors
    /// The cause of a failed write; the lines are then counted as lost.
    fn write_lines(&self, lines: &[u8], timeout: Duration) -> io::Result<()>;
}

/// Keeps the lines, for tests.
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
    fn write_lines(&self, lines: &[u8], _timeout: Duration) -> io::Result<()> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }
}
