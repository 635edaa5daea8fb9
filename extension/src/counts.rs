//! Counts what the extension takes, writes, refuses and loses, for one line of its log at SHUTDOWN and for tests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thing that is counted; the names are those of the log's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// OTLP requests that were read, whatever became of them.
    Received,
    /// OTLP requests written and acknowledged.
    Requests,
    /// Items (spans, data points, log records) of the requests that were written.
    Items,
    /// OTLP requests answered with 503; the sender keeps and repeats them.
    RefusedFull,
    /// OTLP requests that were no OTLP, too large, or for no known path.
    RefusedInvalid,
    /// Calls over gRPC, which is not received.
    RefusedGrpc,
    /// OTLP requests answered with 503 of which something may have been written.
    Ambiguous,
    /// Items that no line can hold; the sender was told so.
    TooLarge,
    /// Attribute values that were shortened so that their item fits a line.
    Truncated,
    /// Lines written.
    Lines,
    /// Telemetry API events taken in.
    Events,
    /// Telemetry API events that came a second time.
    Repeated,
    /// Telemetry API events of the function's or extensions' logs that are not sent, since CloudWatch has them already.
    LogEvents,
    /// Lines of the function, or of other extensions, that were taken to be sent.
    LogLines,
    /// Lines of the function that claim to be OTLP and did not decode: a log record says so.
    Undecodable,
    /// Batches of the Telemetry API answered with 503; Lambda keeps and repeats them.
    TelemetryRefused,
    /// Batches of the Telemetry API, or events in them, that were no JSON of the expected shape.
    Malformed,
    /// Ends of invocations whose beginning this process has not read: the extension's process before it has closed them.
    Foreign,
    /// Invocations that the bounded table had no room for.
    TableFull,
    /// Items made of platform events that could not be written.
    PlatformLost,
    /// Items that a backend has said it has.
    Delivered,
    /// Items that were to be sent, and written as lines instead.
    Spilled,
    /// Items that a backend rejected while it took others beside them.
    Rejected,
    /// Spans that were exported before they had ended, and were not sent, since their invocation ended after all.
    Superseded,
    /// Flushes of which a backend did not take everything.
    FailedFlushes,
    /// Items that were acknowledged, and neither delivered nor written.
    SpillLost,
    /// Panics of our own that were caught.
    Panics,
    /// Milliseconds for which environments were kept when their handlers had ended.
    HeldMs,
    /// Bytes of OTLP requests that were read, inflated.
    ReceivedBytes,
    /// Items in lines that were written, but for those that were to be sent.
    Written,
    /// Bytes of lines that were written.
    LineBytes,
    /// Bytes of bodies that were sent to a backend, as compressed, repetitions included.
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

    /// Whether the count is of something that was lost for good, or went wrong in our own code.
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

/// Counters since the environment started, shared by all tasks.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; COUNTS.len()]);

impl Counts {
    pub(crate) fn add(&self, count: Count, number: usize) {
        if let Some(counter) = self.0.get(count as usize) {
            counter.fetch_add(number as u64, Ordering::Relaxed);
        }
    }

    /// How often it happened.
    pub fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Whether anything was lost, or went wrong in our own code.
    pub(crate) fn lost_anything(&self) -> bool {
        COUNTS.into_iter().any(|count| count.is_loss() && self.get(count) > 0)
    }
}

/// `requests=3 items=12`: what is not 0.
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
