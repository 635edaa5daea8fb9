//! Files in `/tmp`, where the function may write too.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Neither follows a link, nor waits for somebody at the other end of a pipe.
pub(crate) const FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOFOLLOW;

/// Opens a file to be read; nothing else that the function may have put in its place, such as a pipe, which nobody may ever write to.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(FLAGS).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}
