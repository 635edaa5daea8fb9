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
use wire::invocation_record::{offset, path, record};

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

    /// Says which span is the root of this invocation; not of one that is not sampled, since its span is not written.
    pub(crate) fn leave(&self, request_id: &str, root: &SpanContext) {
        if !root.is_valid() || !root.is_sampled() {
            return;
        }
        let Some(path) = &self.path else { return };
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(path).ok();
        let Some(file) = self.file.get_or_init(open) else { return };
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let ids = (root.trace_id().to_bytes(), root.span_id().to_bytes());
        if let Some(record) = record(request_id, &ids.0, &ids.1) {
            // A full `/tmp` costs the record, not the invocation.
            file.write_all_at(&record, offset(number)).unwrap_or_default();
        }
    }
}
