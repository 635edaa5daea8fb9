//! What the receivers tell the loop while it waits.

use crate::invocations::roots::Root;
use platform::PlatformEvent;
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
}

/// Events of one request of the Telemetry API. They count against the bound of buffered bytes until they are dropped.
#[derive(Debug)]
pub(crate) struct TelemetryBatch {
    pub(crate) events: Vec<PlatformEvent>,
    _room: OwnedSemaphorePermit,
}

impl TelemetryBatch {
    pub(crate) fn new(events: Vec<PlatformEvent>, room: OwnedSemaphorePermit) -> Self {
        Self { events, _room: room }
    }
}
