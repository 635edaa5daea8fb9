//! Stores the ids of each invocation's root span in `/tmp`, for an extension in the same environment.
//!
//! Only the function knows its root span, and only the extension receives Lambda's statements about the invocation: with the
//! record, the extension's span of the invocation becomes a child of the root instead of a second root. The extension creates the
//! file before it registers, and thus before the first invocation; without the file nothing is written. See
//! [`wire::invocation_record`].

use opentelemetry::trace::SpanContext;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::invocation_record::{
    SLOTS, SLOTS_CONCURRENT, WRITTEN, WRITTEN_FAILED, offset, path, record, written_offset,
};

/// A root span that is in a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenRoot {
    /// The number of its record.
    pub(crate) record: u64,
    /// The handler failed.
    pub(crate) has_failed: bool,
}

/// Writes the records of one environment. Never waits; a failure only costs the record.
#[derive(Debug)]
pub(crate) struct RootRecord {
    /// From `AWS_LAMBDA_RUNTIME_API`; outside Lambda there is no extension.
    path: Option<String>,
    /// The number of records in the file.
    slots: u64,
    file: OnceLock<Option<File>>,
    invocations: AtomicU64,
}

impl RootRecord {
    /// `is_concurrent`: several invocations run at a time.
    pub(crate) fn new(runtime_api: Option<&str>, is_concurrent: bool) -> Self {
        Self {
            path: runtime_api.map(path),
            slots: if is_concurrent { SLOTS_CONCURRENT } else { SLOTS },
            file: OnceLock::new(),
            invocations: AtomicU64::new(0),
        }
    }

    /// Stores the root span of this invocation. Returns the record's number if it is stored and the span is sampled: other spans are
    /// never in a line.
    pub(crate) fn store(&self, request_id: &str, root: &SpanContext) -> Option<u64> {
        if !root.is_valid() {
            return None;
        }
        let path = self.path.as_ref()?;
        let file = self.file.get_or_init(|| open(path).ok()).as_ref()?;
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let trace_id = root.trace_id().to_bytes();
        let span_id = root.span_id().to_bytes();
        let record = record(request_id, &trace_id, &span_id, root.is_sampled())?;
        // A full `/tmp` costs the record, not the invocation.
        file.write_all_at(&record, offset(number, self.slots)).ok()?;
        root.is_sampled().then_some(number)
    }

    /// Notes that the record's root span is in a line. With very many concurrent invocations, another record may have replaced
    /// it.
    pub(crate) fn mark_written(&self, WrittenRoot { record: number, has_failed }: WrittenRoot) {
        let is_overwritten = self.invocations.load(Ordering::Relaxed) - number > self.slots;
        let mark = if has_failed { WRITTEN_FAILED } else { WRITTEN };
        if let Some(Some(file)) = self.file.get().filter(|_| !is_overwritten) {
            file.write_all_at(&[mark], written_offset(number, self.slots)).unwrap_or_default();
        }
    }
}

/// Opens the file, and nothing else in its place: a pipe could block, and a link's target belongs to other software.
fn open(path: &str) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = File::options().write(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    fn root(number: u64) -> SpanContext {
        let trace = TraceId::from(u128::from(number) + 1);
        let span = SpanId::from(number + 1);
        SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default())
    }

    fn records(path: &std::path::Path) -> RootRecord {
        RootRecord { path: Some(path.to_str().unwrap().to_owned()), ..RootRecord::new(None, false) }
    }

    #[test]
    fn a_pipe_or_link_in_place_of_the_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link, precious) =
            (folder.path().join("pipe"), folder.path().join("link"), folder.path().join("own"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        std::fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        assert_eq!(records(&pipe).store("r-1", &root(0)), None);
        assert_eq!(records(&link).store("r-1", &root(0)), None);
        assert_eq!(std::fs::read_to_string(precious).unwrap(), "precious");
    }

    #[test]
    fn a_managed_instance_keeps_the_records_of_all_concurrent_invocations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        std::fs::write(&path, "").unwrap();
        let records = RootRecord {
            path: Some(path.to_str().unwrap().to_owned()),
            ..RootRecord::new(None, true)
        };
        for number in 0..1600 {
            records.store(&format!("r-{number}"), &root(number)).unwrap();
        }
        let file = std::fs::read(path).unwrap();
        let found = (0..1600).filter(|number| {
            wire::invocation_record::find(&file, &format!("r-{number}")).count() == 1
        });
        assert_eq!(found.count(), 1600);
    }

    #[test]
    fn a_late_mark_does_not_change_a_reused_record_slot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        std::fs::write(&path, "").unwrap();
        let records = records(&path);
        let numbers: Vec<u64> = (0..=SLOTS)
            .map(|number| records.store(&format!("r-{number}"), &root(number)).unwrap())
            .collect();
        for number in &numbers[..2] {
            records.mark_written(WrittenRoot { record: *number, has_failed: false });
        }
        let file = std::fs::read(path).unwrap();
        let is_open = |number: u64| {
            let request_id = format!("r-{number}");
            wire::invocation_record::find(&file, &request_id).next().map(|root| root.is_open)
        };
        assert_eq!((is_open(0), is_open(SLOTS), is_open(1)), (None, Some(true), Some(false)));
    }
}
