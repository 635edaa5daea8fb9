//! The extension's counters, for a log line at SHUTDOWN, its own metrics, and tests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter. Its name is a field of the log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// OTLP requests read.
    Received,
    /// OTLP requests acknowledged.
    Requests,
    /// Items (spans, data points, log records) of the acknowledged requests.
    Items,
    /// OTLP requests answered with 503, which their senders repeat.
    RefusedFull,
    /// OTLP requests that were invalid, too large, or for an unknown path.
    RefusedInvalid,
    /// gRPC calls refused by the minimal extension.
    RefusedGrpc,
    /// OTLP requests answered with 503 although a part may have been written.
    Ambiguous,
    /// Items rejected because they are too large for a line.
    TooLarge,
    /// Attribute values shortened so that their item fits a line.
    Truncated,
    /// Lines written.
    Lines,
    /// Platform events received.
    Events,
    /// Repeated events of the Telemetry API.
    Repeated,
    /// Printed lines ignored, because CloudWatch Logs has them.
    LogEvents,
    /// Printed lines accepted for sending.
    LogLines,
    /// OTLP lines that did not decode. Log records report them.
    Undecodable,
    /// Deliveries of the Telemetry API answered with 503, which Lambda repeats.
    TelemetryRefused,
    /// Deliveries of the Telemetry API, or events in them, that could not be read.
    Malformed,
    /// Ends of invocations that an earlier process of the extension closed.
    Foreign,
    /// Invocations dropped because the table was full.
    TableFull,
    /// Items made from platform events that could not be written.
    PlatformLost,
    /// Items accepted by the backend.
    Delivered,
    /// Items written as spill lines.
    Spilled,
    /// Items rejected by the backend in an accepted request.
    Rejected,
    /// Partial spans dropped because their complete spans came.
    Superseded,
    /// Flushes that did not deliver everything.
    FailedFlushes,
    /// Acknowledged items neither delivered nor written.
    SpillLost,
    /// Panics.
    Panics,
    /// Hold time in milliseconds.
    HeldMs,
    /// Inflated bytes of OTLP requests read.
    ReceivedBytes,
    /// Items written in stdout mode.
    Written,
    /// Bytes of lines written.
    LineBytes,
    /// Compressed bytes of bodies sent to a backend, including repetitions.
    SentBytes,
}

const COUNTS: [Count; 32] = [
    Count::Received,
    Count::Requests,
    Count::Items,
    Count::RefusedFull,
    Count::RefusedInvalid,
    Count::RefusedGrpc,
    Count::Ambiguous,
    Count::TooLarge,
    Count::Truncated,
    Count::Lines,
    Count::Events,
    Count::Repeated,
    Count::LogEvents,
    Count::LogLines,
    Count::Undecodable,
    Count::TelemetryRefused,
    Count::Malformed,
    Count::Foreign,
    Count::TableFull,
    Count::PlatformLost,
    Count::Delivered,
    Count::Spilled,
    Count::Rejected,
    Count::Superseded,
    Count::FailedFlushes,
    Count::SpillLost,
    Count::Panics,
    Count::HeldMs,
    Count::ReceivedBytes,
    Count::Written,
    Count::LineBytes,
    Count::SentBytes,
];

impl Count {
    const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Requests => "requests",
            Self::Items => "items",
            Self::RefusedFull => "refused_full",
            Self::RefusedInvalid => "refused_invalid",
            Self::RefusedGrpc => "refused_grpc",
            Self::Ambiguous => "ambiguous",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Lines => "lines",
            Self::Events => "events",
            Self::Repeated => "repeated",
            Self::LogEvents => "log_events",
            Self::LogLines => "log_lines",
            Self::Undecodable => "undecodable",
            Self::TelemetryRefused => "telemetry_refused",
            Self::Malformed => "malformed",
            Self::Foreign => "foreign",
            Self::TableFull => "table_full",
            Self::PlatformLost => "platform_lost",
            Self::Delivered => "delivered",
            Self::Spilled => "spilled",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
            Self::FailedFlushes => "failed_flushes",
            Self::SpillLost => "spill_lost",
            Self::Panics => "panics",
            Self::HeldMs => "held_ms",
            Self::ReceivedBytes => "received_bytes",
            Self::Written => "written",
            Self::LineBytes => "line_bytes",
            Self::SentBytes => "sent_bytes",
        }
    }

    /// Returns `true` for counters of lost telemetry and of bugs.
    const fn is_loss(self) -> bool {
        matches!(
            self,
            Self::TooLarge
                | Self::TableFull
                | Self::PlatformLost
                | Self::Rejected
                | Self::SpillLost
                | Self::Panics
        )
    }
}

/// All counters since the environment started, shared by all tasks.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; COUNTS.len()]);

impl Counts {
    pub(crate) fn add(&self, count: Count, number: usize) {
        if let Some(counter) = self.0.get(count as usize) {
            counter.fetch_add(number as u64, Ordering::Relaxed);
        }
    }

    /// Returns the value of a counter.
    pub fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Returns `true` if telemetry was lost or a bug occurred.
    pub(crate) fn lost_anything(&self) -> bool {
        COUNTS.into_iter().any(|count| count.is_loss() && self.get(count) > 0)
    }
}

/// Prints the counters above 0: `requests=3 items=12`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = COUNTS.into_iter().filter(|count| self.get(*count) > 0);
        for (position, count) in counted.enumerate() {
            let space = if position > 0 { " " } else { "" };
            write!(f, "{space}{}={}", count.name(), self.get(count))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_place() {
        for (position, count) in COUNTS.into_iter().enumerate() {
            assert_eq!(count as usize, position, "{}", count.name());
        }
        let counts = Counts::default();
        counts.add(Count::Requests, 2);
        assert!(!counts.lost_anything());
        counts.add(Count::Panics, 1);
        assert!(counts.lost_anything());
        assert_eq!(counts.to_string(), "requests=2 panics=1");
    }
}
