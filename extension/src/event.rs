//! The receivers' events for the loop.

use crate::invocations::roots::ReceivedSpan;
use platform::{LineSource, PlatformEvent};
use tokio::sync::OwnedSemaphorePermit;

#[derive(Debug)]
pub(crate) enum Event {
    /// The sink accepted OTLP with these spans of invocations.
    Otlp(Vec<ReceivedSpan>),
    /// The events of one request of the Telemetry API. They occupy room in the responder until they are dropped.
    Telemetry { items: Vec<TelemetryItem>, _room: OwnedSemaphorePermit },
}

#[derive(Debug)]
pub(crate) enum TelemetryItem {
    Platform {
        event: Box<PlatformEvent>,
        /// The unchanged event, if log records are made.
        text: Box<str>,
    },
    Line(LogLine),
}

#[derive(Debug)]
pub(crate) struct LogLine {
    pub(crate) from: LineSource,
    /// Unix time in nanoseconds, if Lambda sent it.
    pub(crate) time_unix_nano: Option<u64>,
    pub(crate) message: Box<str>,
    /// Lambda sent it as a JSON value and not as text.
    pub(crate) is_json: bool,
}

/// A runtime's message about exhausted memory.
#[derive(Debug)]
pub(crate) struct OutOfMemory {
    /// The invocation, if known.
    pub(crate) request_id: Option<String>,
    pub(crate) time_unix_nano: u64,
}
