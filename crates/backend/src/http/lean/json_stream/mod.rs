//! Events of the Telemetry API as OpenObserve's older Lambda extension stored them: `POST /api/{organization}/{stream}/_json` with an
//! array of `{"_timestamp", "type", "record", "requestId"}`.
//!
//! An event is a log record up to the transport, so that it waits, is cut, repeated and accounted for as any other. The transport
//! writes the array, and says in terms of OTLP what the endpoint answers.
//!
//! Source: OpenObserve 0.60.5 as measured: times in microseconds, `successful` and `failed` in the answer, and neither where a write
//! failed.

mod answer;
mod event;

pub(super) use answer::in_otlp;
pub(super) use event::json_array;
pub use event::{Record, TelemetryEvent, events_request};
