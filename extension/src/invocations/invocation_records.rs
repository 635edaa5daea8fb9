//! The records of our exporter in `/tmp`, where the function can write too. They name the root span of an invocation.

use crate::own_file;
use std::io::Read as _;
use std::path::Path;
use wire::invocation_record::{RECORD_BYTES, RootSpan, SLOTS_CONCURRENT};

/// Creates the file. If it exists, our exporter writes records. The exporter looks for it when the first invocation
/// begins, and Lambda waits with that until all extensions have registered.
pub(crate) fn make_file(path: &str) {
    own_file::create(Path::new(path)).ok();
}

/// The content of the file at one time.
#[derive(Debug, Default)]
pub(crate) struct InvocationRecords(Vec<u8>);

impl InvocationRecords {
    /// Reads this file. A function without our exporter leaves it empty.
    pub(crate) fn read(path: &str) -> Self {
        let mut records = Vec::new();
        let most = RECORD_BYTES as u64 * SLOTS_CONCURRENT;
        let read = own_file::open(Path::new(path))
            .and_then(|file| file.take(most).read_to_end(&mut records));
        if read.is_err() { Self::default() } else { Self(records) }
    }

    pub(crate) fn find(&self, request_id: &str) -> Vec<RootSpan> {
        wire::invocation_record::find(&self.0, request_id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::invocation_record::record;

    /// The function can write there too, and may have put a link or a pipe in place of the file.
    #[test]
    fn the_file_is_created_once_and_links_and_pipes_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let found = |name: &str| InvocationRecords::read(&path(name)).find("r-1").len();
        assert_eq!(found("file"), 0, "missing");
        make_file(&path("file"));
        assert_eq!(std::fs::read(path("file")).unwrap(), b"");
        std::fs::write(path("file"), record("r-1", &[1; 16], &[2; 8], true).unwrap()).unwrap();
        make_file(&path("file"));
        assert_eq!(found("file"), 1);
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("elsewhere"), path("dangling")).unwrap();
        make_file(&path("dangling"));
        assert!(!folder.path().join("elsewhere").exists());
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        assert_eq!((found("link"), found("pipe")), (0, 0), "nobody writes to the pipe");
    }
}
