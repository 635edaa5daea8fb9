//! Telemetry API events in the form of OpenObserve's older Lambda extension: `POST /api/{organization}/{stream}/_json` with an
//! array of `{"_timestamp", "type", "record", "requestId"}`.
//!
//! Up to the transport an event is a log record, so that buffering, splitting, retry and accounting are shared. The transport
//! writes the array and translates the answers to OTLP.
//!
//! Source: OpenObserve 0.60.5 as measured: times in microseconds; answers count `successful` and `failed`, and omit both after a
//! failed write.

mod answer;
mod event;

pub(super) use answer::in_otlp;
pub(super) use event::json_array;
pub use event::{JsonStreamEvent, JsonStreamRecord, events_request};
