//! Output whose reader is gone: after `lambda-otlp decode … | head`, a command still finishes its work and does not fail.

use std::io::{self, ErrorKind};

/// Prints on stderr like std's macro of this name, but does not panic if stderr is closed.
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

/// Returns `true` if a command failed only because its output is closed.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Ignores a broken pipe, so that a command that finished its work exits with the code of that work.
pub(crate) fn ignored(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
