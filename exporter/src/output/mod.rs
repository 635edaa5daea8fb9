//! Destinations of lines: stdout, or memory in tests.

pub(crate) mod in_memory;
pub(crate) mod stderr;
pub(crate) mod stdout;
mod stdout_thread;
mod writable;

use std::fmt::Debug;
use std::io;
use std::time::Duration;

/// Receives the lines of the exporters.
///
/// ```
/// use lambda_otlp_exporter::{Output, TelemetryConfig};
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
