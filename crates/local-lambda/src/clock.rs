//! The local Lambda's clock, and the notations in which Lambda writes a time.
//!
//! The local Lambda shares no code with the readers of Lambda's events, so a mistake in one of them shows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// A point in time: milliseconds since the Unix epoch, as CloudWatch Logs counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    unix_ms: u64,
}

/// The only place of the local Lambda that reads the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the local Lambda stands for AWS, which uses the real clock"
)]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX) }
}

impl Timestamp {
    pub(crate) fn millis(self) -> u64 {
        self.unix_ms
    }

    pub(crate) fn seconds(self) -> u64 {
        self.unix_ms / 1000
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self { unix_ms: self.unix_ms.saturating_add(millis) }
    }

    /// `2024-03-04T17:22:38.033Z`
    pub(crate) fn rfc3339(self) -> String {
        let utc = self.utc();
        let (hour, minute, second, milli) = utc.to_hms_milli();
        format!("{}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", utc.date())
    }

    /// `2024/03/04`, the beginning of a log stream's name.
    pub(crate) fn date_path(self) -> String {
        self.utc().date().to_string().replace('-', "/")
    }

    fn utc(self) -> OffsetDateTime {
        let seconds = i64::try_from(self.seconds()).unwrap_or_default();
        let utc = OffsetDateTime::from_unix_timestamp(seconds);
        utc.unwrap_or(OffsetDateTime::UNIX_EPOCH) + Duration::from_millis(self.unix_ms % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_formatted_as_in_lambda() {
        let time = Timestamp { unix_ms: 1_709_572_958_033 };
        assert_eq!(
            (&*time.rfc3339(), &*time.date_path()),
            ("2024-03-04T17:22:38.033Z", "2024/03/04")
        );
        assert_eq!(Timestamp { unix_ms: 4_107_542_400_000 }.rfc3339(), "2100-03-01T00:00:00.000Z");
    }
}
