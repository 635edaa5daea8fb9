//! The extension's counters, for a log line at SHUTDOWN, its own metrics, and tests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Defines the counters and their names, which are fields of the log line.
macro_rules! counts {
    ($($(#[$doc:meta])* $count:ident $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count {
            $($(#[$doc])* $count,)*
        }

        const COUNTS: &[(Count, &str)] = &[$((Count::$count, $name),)*];
    };
}

counts! {
    Received "received",
    /// OTLP requests answered with 503, which their senders repeat.
    RefusedFull "refused_full",
    /// Connections closed during a request, because too many were open. Their clients send again.
    ConnectionsClosed "connections_closed",
    /// Cases in which the process had no free file descriptor.
    DescriptorsMissing "descriptors_missing",
    /// OTLP requests that were invalid, too large, or for an unknown path.
    RefusedInvalid "refused_invalid",
    /// Items rejected because they are too large for a line.
    TooLarge "too_large",
    /// Attribute values shortened so that their item fits a line.
    Truncated "truncated",
    /// Printed lines accepted for sending.
    LogLines "log_lines",
    /// OTLP lines that did not decode. Log records report them.
    Undecodable "undecodable",
    /// Deliveries of the Telemetry API answered with 503, which Lambda repeats.
    TelemetryRefused "telemetry_refused",
    /// Requests at the port for telemetry with another path than the agreed one, answered with 404.
    TelemetryMisaddressed "telemetry_misaddressed",
    /// Deliveries of the Telemetry API whose end did not arrive.
    TelemetryBrokenOff "telemetry_broken_off",
    /// Deliveries of the Telemetry API, or events in them, that could not be read.
    Malformed "malformed",
    /// X-Ray documents, or subsegments in them, that could not be read or did not fit the socket's buffer.
    XRayLost "xray_lost",
    /// Invocations dropped because the table was full.
    TableFull "table_full",
    /// Items of the extension's own telemetry that stdout did not take; in stdout mode, spans of X-Ray documents too.
    PlatformLost "platform_lost",
    /// Items accepted by the backend.
    Delivered "delivered",
    /// Items written as spill lines.
    Spilled "spilled",
    /// Items that the backend rejected in an accepted request, or cannot store.
    Rejected "rejected",
    /// Flushes that did not deliver everything.
    FailedFlushes "failed_flushes",
    /// Acknowledged items neither delivered nor written.
    SpillLost "spill_lost",
    Panics "panics",
    HeldMs "held_ms",
    /// Inflated bytes of OTLP requests read.
    ReceivedBytes "received_bytes",
    /// Items written in stdout mode.
    Written "written",
    LineBytes "line_bytes",
    /// Compressed bytes of bodies sent to a backend, including repetitions.
    SentBytes "sent_bytes",
}

/// The counters of lost items.
pub(crate) const DROPPED: [Count; 5] =
    [Count::TooLarge, Count::TableFull, Count::PlatformLost, Count::SpillLost, Count::XRayLost];

impl Count {
    /// Returns `true` for counters of lost telemetry and of bugs.
    fn is_loss(self) -> bool {
        DROPPED.contains(&self) || matches!(self, Self::Rejected | Self::Panics)
    }
}

/// All counters since the environment started, shared by all tasks.
#[derive(Debug)]
pub struct Counts([AtomicU64; COUNTS.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; COUNTS.len()])
    }
}

impl Counts {
    pub(crate) fn add(&self, count: Count, number: usize) {
        if let Some(counter) = self.0.get(count as usize) {
            counter.fetch_add(number as u64, Ordering::Relaxed);
        }
    }

    pub fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Returns `true` if telemetry was lost or a bug occurred.
    pub(crate) fn lost_anything(&self) -> bool {
        COUNTS.iter().any(|(count, _)| count.is_loss() && self.get(*count) > 0)
    }
}

/// Prints the counters above 0: `requests=3 items=12`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = COUNTS.iter().filter(|(count, _)| self.get(*count) > 0);
        for (position, (count, name)) in counted.enumerate() {
            let space = if position > 0 { " " } else { "" };
            write!(f, "{space}{name}={}", self.get(*count))?;
        }
        Ok(())
    }
}
