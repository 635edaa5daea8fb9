//! Unchanged events of the Telemetry API for OpenObserve's JSON endpoint.

use crate::event::LogLine;
use backend::{JsonStreamEvent, JsonStreamRecord, events_request};
use platform::{EventKind, LineSource, PlatformEvent};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::mem;
use wire::Request;

/// The part of an event that is stored unchanged.
#[derive(Deserialize)]
struct EventRecord<'a> {
    #[serde(borrow)]
    record: &'a RawValue,
}

#[derive(Default)]
pub(super) struct RawEvents {
    records: Vec<u8>,
    count: usize,
    /// The invocation of the lines.
    running: Option<String>,
}

impl RawEvents {
    /// Adds a platform event. `text` is the whole event.
    pub(super) fn platform_event(
        &mut self,
        event: &PlatformEvent,
        text: &str,
        time_unix_nano: u64,
        has_one_at_a_time: bool,
    ) {
        if event.kind == EventKind::Start && has_one_at_a_time {
            self.running.clone_from(&event.request_id);
        }
        let envelope: Option<EventRecord<'_>> = serde_json::from_str(text).ok();
        let record = envelope.map_or("null", |event| event.record.get());
        let request_id = event.request_id.as_deref().or(self.running.as_deref());
        let kind = event.kind.as_str();
        let record = JsonStreamRecord::Json(record);
        JsonStreamEvent { time_unix_nano, kind, record, request_id }.write(&mut self.records);
        self.count += 1;
        if event.kind == EventKind::Report && event.request_id == self.running {
            self.running = None;
        }
    }

    /// Adds a line, or its text without the OTLP in it.
    pub(super) fn line(&mut self, line: &LogLine, text: &str, time_unix_nano: u64) {
        let kind = match line.from {
            LineSource::Function => "function",
            LineSource::Extension => "extension",
        };
        let is_whole = line.is_json && text.len() == line.message.len();
        let record =
            if is_whole { JsonStreamRecord::Json(text) } else { JsonStreamRecord::Text(text) };
        let request_id = self.running.as_deref();
        JsonStreamEvent { time_unix_nano, kind, record, request_id }.write(&mut self.records);
        self.count += 1;
    }

    /// Returns the bytes of the events.
    pub(super) fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Returns the events as one request.
    pub(super) fn finish(&mut self, service_name: &str) -> Request {
        let (records, count) = (mem::take(&mut self.records), mem::take(&mut self.count));
        events_request(service_name, &records, count)
    }
}
