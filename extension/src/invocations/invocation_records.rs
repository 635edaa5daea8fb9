//! The records that our exporter leaves in `/tmp`: which span is the root of an invocation.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use wire::invocation_record::{RECORD_BYTES, RootSpan, SLOTS, find};

/// Looks records up by request id; tests give a function of their own.
pub(crate) struct InvocationRecords(Box<Find>);

type Find = dyn Fn(&str) -> Vec<RootSpan> + Send + Sync;

impl InvocationRecords {
    pub(crate) fn new(find: impl Fn(&str) -> Vec<RootSpan> + Send + Sync + 'static) -> Self {
        Self(Box::new(find))
    }

    /// Looks them up in this file; a function without our exporter has none.
    pub(crate) fn file(path: String) -> Self {
        Self::new(move |request_id| {
            let mut records = Vec::new();
            let most = RECORD_BYTES as u64 * SLOTS;
            let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut records));
            if read.is_err() {
                return Vec::new();
            }
            find(&records, request_id).collect()
        })
    }

    /// The roots of all attempts at this request.
    pub(crate) fn find(&self, request_id: &str) -> Vec<RootSpan> {
        (self.0)(request_id)
    }
}

impl fmt::Debug for InvocationRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvocationRecords")
    }
}
