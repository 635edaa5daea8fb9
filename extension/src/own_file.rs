//! The extension's files in `/tmp`, where the function can write too: it may have put a link or a pipe in place of a file.

use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Open neither follows links nor waits for the other end of a pipe.
const FLAGS: i32 = OFlags::NONBLOCK.union(OFlags::NOFOLLOW).bits().cast_signed();

/// Opens a regular file for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    regular(File::options().read(true).custom_flags(FLAGS).open(path)?)
}

/// Opens a regular file for writing, and keeps its content.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    regular(options.write(true).create(true).truncate(false).custom_flags(FLAGS).open(path)?)
}

/// Replaces the content of a regular file.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = create(path)?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}
