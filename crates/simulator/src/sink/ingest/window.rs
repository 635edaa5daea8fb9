//! The ingest window: how old and how new a log record or span may be.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct IngestWindow {
    pub(crate) past: Duration,
    pub(crate) future: Duration,
    pub(crate) now_unix_nano: u64,
}

impl IngestWindow {
    /// Why a record of this time is rejected. Microseconds count, as they do in OpenObserve.
    pub(crate) fn misses(&self, unix_nano: u64) -> Option<String> {
        let (time, now) = (u128::from(unix_nano) / 1000, u128::from(self.now_unix_nano) / 1000);
        if time + self.past.as_micros() < now {
            let hours = self.past.as_secs() / 3600;
            return Some(format!(
                "Too old data, only last {hours} hours data can be ingested. Data discarded. You can adjust ingestion max \
                 time by setting the environment variable ZO_INGEST_ALLOWED_UPTO=<max_hours>"
            ));
        }
        if time > now.saturating_add(self.future.as_micros()) {
            let hours = self.future.as_secs() / 3600;
            return Some(format!(
                "Too far data, only future {hours} hours data can be ingested. Data discarded. You can adjust ingestion \
                 max time by setting the environment variable ZO_INGEST_ALLOWED_IN_FUTURE=<max_hours>"
            ));
        }
        None
    }
}
