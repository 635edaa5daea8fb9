//! Leaves the ids of each invocation's root span in `/tmp`, for an extension beside the function.
//!
//! Only the function knows its root span, and only the extension sees what Lambda says of the invocation: with the record,
//! the extension's span of the invocation becomes a child of the root and not a second root. See
//! [`wire::invocation_record`].

use opentelemetry::trace::SpanContext;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::invocation_record::{WRITTEN, offset, path, record, written_offset};

/// Writes the records of one environment. Nothing here waits, and what fails costs only the record.
#[derive(Debug, Default)]
pub(crate) struct RootRecord {
    /// Of `AWS_LAMBDA_RUNTIME_API`; outside Lambda there is no extension to tell.
    path: Option<String>,
    file: OnceLock<Option<File>>,
    invocations: AtomicU64,
}

impl RootRecord {
    pub(crate) fn new(runtime_api: Option<&str>) -> Self {
        Self { path: runtime_api.map(path), ..Self::default() }
    }

    /// Says which span is the root of this invocation; not of one that is not sampled, since its span is not written. The number
    /// of the record, where one was left.
    pub(crate) fn leave(&self, request_id: &str, root: &SpanContext) -> Option<u64> {
        if !root.is_valid() || !root.is_sampled() {
            return None;
        }
        let path = self.path.as_ref()?;
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(path).ok();
        let file = self.file.get_or_init(open).as_ref()?;
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let ids = (root.trace_id().to_bytes(), root.span_id().to_bytes());
        let record = record(request_id, &ids.0, &ids.1)?;
        // A full `/tmp` costs the record, not the invocation.
        file.write_all_at(&record, offset(number)).ok().map(|()| number)
    }

    /// Says that the root's span of this record is in a line.
    pub(crate) fn is_written(&self, number: u64) {
        if let Some(Some(file)) = self.file.get() {
            file.write_all_at(&[WRITTEN], written_offset(number)).unwrap_or_default();
        }
    }
}
