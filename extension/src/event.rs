//! What the loop is told while it waits.

use crate::invocations::roots::Root;
use platform::PlatformEvent;
use tokio::sync::OwnedSemaphorePermit;

/// What happens while the loop waits.
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

/// Events of one request of the Telemetry API; they count against the buffer's bytes until they are dropped.
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
