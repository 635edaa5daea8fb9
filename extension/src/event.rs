//! The receivers' events for the loop.

use crate::invocations::roots::ReceivedSpan;
use platform::{Failure, LineSource, PlatformEvent};
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

/// What a runtime printed about an invocation, with the Unix time in nanoseconds.
#[derive(Debug)]
pub(crate) enum RuntimeReport {
    /// Exhausted memory, and the invocation if known.
    OutOfMemory { request_id: Option<String>, time_unix_nano: u64 },
    /// The failure of an invocation.
    Failed { request_id: String, failure: Failure, time_unix_nano: u64 },
}
