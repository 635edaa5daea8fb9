//! The records of our exporter in `/tmp`, where the function can write too. They name the root span of an invocation.

use crate::own_file;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use wire::invocation_record::{RECORD_BYTES, RootSpan, SLOTS, find};

/// Creates the file. Its existence tells our exporter to write records. The exporter looks for it when the first invocation
/// begins, and Lambda waits with that until all extensions have registered.
pub(crate) fn make_file(path: &str) {
    own_file::create(Path::new(path)).ok();
}

/// Looks up records by request id.
pub(crate) struct InvocationRecords(Box<Find>);

type Find = dyn Fn(&str) -> Vec<RootSpan> + Send + Sync;

impl InvocationRecords {
    pub(crate) fn new(find: impl Fn(&str) -> Vec<RootSpan> + Send + Sync + 'static) -> Self {
        Self(Box::new(find))
    }

    /// Looks up records in this file. A function without our exporter has none.
    pub(crate) fn file(path: String) -> Self {
        Self::new(move |request_id| {
            let mut records = Vec::new();
            let most = RECORD_BYTES as u64 * SLOTS;
            let read = own_file::open(Path::new(&path))
                .and_then(|file| file.take(most).read_to_end(&mut records));
            if read.is_err() {
                return Vec::new();
            }
            find(&records, request_id).collect()
        })
    }

    pub(crate) fn find(&self, request_id: &str) -> Vec<RootSpan> {
        (self.0)(request_id)
    }
}

impl fmt::Debug for InvocationRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvocationRecords")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::invocation_record::record;

    #[test]
    fn the_file_is_created_once_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        make_file(&path("file"));
        assert_eq!(std::fs::read(path("file")).unwrap(), b"");
        std::fs::write(path("file"), "a record").unwrap();
        make_file(&path("file"));
        assert_eq!(std::fs::read(path("file")).unwrap(), b"a record");
        std::os::unix::fs::symlink(path("elsewhere"), path("link")).unwrap();
        make_file(&path("link"));
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn pipes_and_links_replacing_the_record_file_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let found = |name: &str| InvocationRecords::file(path(name)).find("r-1").len();
        assert_eq!(found("missing"), 0);
        std::fs::write(path("file"), record("r-1", &[1; 16], &[2; 8], true).unwrap()).unwrap();
        assert_eq!(found("file"), 1);
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        assert_eq!(found("link"), 0);
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        assert_eq!(found("pipe"), 0, "nobody writes to it");
    }
}
