//! Keeps lines in memory, for tests.

use super::Output;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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
        let text = String::from_utf8(written)
            .unwrap_or_else(|other| String::from_utf8_lossy(other.as_bytes()).into_owned());
        text.lines().map(str::to_owned).collect()
    }
}

impl Output for InMemoryOutput {
    fn write_lines(&self, lines: &[u8], _timeout: Duration) -> io::Result<()> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }
}
