//! The process's stdout.

use super::Output;
use super::stdout_thread::STDOUT;
use std::io;
use std::time::Duration;

/// The process's stdout.
///
/// Each line is written whole under the lock that `println!` takes, so that text of other threads never lands inside it.
/// The descriptor is not made non-blocking: the function shares it, and its own writes would fail with EAGAIN. A separate
/// thread takes the lock and writes instead, so that neither a lock that another thread holds nor a pipe that nobody empties
/// hangs the function: when the timeout is over, the lines are given up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl Output for Stdout {
    fn write_lines(&self, lines: &[u8], timeout: Duration) -> io::Result<()> {
        STDOUT.write_lines(lines.to_vec(), timeout)
    }
}
