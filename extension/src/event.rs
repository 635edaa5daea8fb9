//! What the receivers tell the loop while it waits.

use crate::invocations::roots::{NamedSpan, Root};
use platform::{LineSource, PlatformEvent};
use tokio::sync::OwnedSemaphorePermit;

/// What a receiver has taken.
#[derive(Debug)]
pub(crate) enum Event {
    Otlp(OtlpReceived),
    Telemetry(TelemetryBatch),
}

/// OTLP was received and written.
#[derive(Debug)]
pub(crate) struct OtlpReceived {
    pub(crate) roots: Vec<Root>,
    /// The spans that name their invocation, where log lines get their ids.
    pub(crate) named: Vec<NamedSpan>,
}

/// An event of the Telemetry API.
#[derive(Debug)]
pub(crate) enum Told {
    Platform {
        event: Box<PlatformEvent>,
        /// The event as it came, where log records are made.
        text: Box<str>,
    },
    Line(LogLine),
}

/// A line that the function or an extension printed.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "direct"),
    expect(dead_code, reason = "without a direct output none is sent")
)]
pub(crate) struct LogLine {
    pub(crate) from: LineSource,
    /// Unix time in nanoseconds, if Lambda says a time.
    pub(crate) time_unix_nano: Option<u64>,
    pub(crate) message: Box<str>,
    /// Whether it is a JSON value that Lambda did not send as text.
    pub(crate) is_json: bool,
}

/// Events of one request of the Telemetry API. They count against the bound of buffered bytes until they are dropped.
#[derive(Debug)]
pub(crate) struct TelemetryBatch {
    pub(crate) told: Vec<Told>,
    _room: OwnedSemaphorePermit,
}

impl TelemetryBatch {
    pub(crate) fn new(told: Vec<Told>, room: OwnedSemaphorePermit) -> Self {
        Self { told, _room: room }
    }
}
