//! Output that nobody reads any more: `lambda-otlp decode … | head` is no failure, and a command still does its work.

use std::io::{self, ErrorKind};

/// Prints on stderr as std's macro of this name does, but does not panic where nobody reads stderr.
macro_rules! eprintln {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _written = writeln!(std::io::stderr(), $($arguments)*);
    }};
}

/// Like [`eprintln`], without a line's end.
macro_rules! eprint {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _written = write!(std::io::stderr(), $($arguments)*);
    }};
}

/// Returns `true` if a command failed only because nobody reads its output.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Leaves a broken pipe out, so that a command whose work is done still ends with the exit code of that work.
pub(crate) fn ignored(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
