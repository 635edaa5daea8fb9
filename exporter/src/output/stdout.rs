//! The process's stdout.

use super::Output;
use super::stdout_thread::STDOUT;
use std::io;
use std::time::Duration;

/// The process's stdout.
///
/// Each line is written whole under the lock that `println!` takes, so that text of other threads never lands inside it.
/// The descriptor stays as it is: it is shared with the function, and O_NONBLOCK would be set for all. A thread of its
/// own takes the lock and writes, so that neither a lock that somebody holds nor a pipe that nobody empties hangs the
/// function: when the timeout is over, the lines are given up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl Output for Stdout {
    fn write_lines(&self, lines: &[u8], timeout: Duration) -> io::Result<()> {
        STDOUT.write_lines(lines.to_vec(), timeout)
    }
}
