//! Prints to a terminal or a pipe. If the reader of a pipe is gone, as after `lambda-otlp decode … | head`, a command finishes its
//! work and does not fail.

use std::io::{self, ErrorKind};

/// Like `std::eprintln`, but does not panic if stderr is closed, and prints no control characters of foreign texts.
macro_rules! eprintln {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let text = console::screen::on_lines(&format!($($arguments)*));
        $crate::progress::suspend(|| {
            let _written = writeln!(std::io::stderr().lock(), "{text}");
        });
    }};
}

/// Like `std::eprint`, with the same differences.
macro_rules! eprint {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let text = console::screen::on_lines(&format!($($arguments)*));
        $crate::progress::suspend(|| {
            let _written = write!(std::io::stderr().lock(), "{text}");
        });
    }};
}

/// Runs a command on this thread.
pub(crate) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Returns `true` if a command failed only because its output is closed.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Turns a broken pipe into success, so that the exit code reflects the work.
pub(crate) fn ignore_broken_pipe(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
