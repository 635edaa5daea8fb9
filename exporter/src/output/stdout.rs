//! The process's stdout.

use super::Output;
use super::stdout_thread::STDOUT;
use std::io;
use std::time::Duration;

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
