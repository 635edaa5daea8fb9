//! Lines that the function printed: OTLP lines are decoded, and other lines become the same log records as in the forwarder. With
//! the `json` output, lines are sent unchanged.
//!
//! The records of an invocation wait for its end, to get the ids of the span that names the invocation. That span usually arrives
//! last.

use crate::clock::unix_nanos;
use crate::config::Config;
use crate::counts::{Count, Counts};
use crate::event::{LogLine, OutOfMemory};
use crate::invocations::roots::ReceivedSpan;
use crate::policy::{NewestInvocation, last_moment_ms};
use crate::service_name::named;
use backend::{JsonStreamEvent, JsonStreamRecord, events_request};
use platform::{
    Converter, ConverterState, EventKind, Identity, InvocationStatement, LineSource, LogEventRef,
    PlatformEvent, PlatformOptions, Undecodable, is_out_of_memory,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use wire::{
    Limits, LineReading, Metrics, Request, RootLine, Signal as _, SpanIds, UndecodableLine,
    read_line_of,
};

/// The bytes of records that may wait for the end of their invocation.
const MAX_WAITING_BYTES: usize = 256 * 1024;

pub(crate) struct PrintedLines {
    converter: Converter,
    /// The unchanged events of the `json` output, which has no log records.
    events: Option<RawEvents>,
    identity: Identity,
    options: PlatformOptions,
    service_name: String,
    /// The function has one invocation at a time.
    has_one_at_a_time: bool,
    /// The time of the oldest waiting record or event.
    waiting_since_ms: Option<u64>,
    counts: Arc<Counts>,
}

impl PrintedLines {
    pub(super) fn new(
        config: &Config,
        identity: Identity,
        is_json: bool,
        counts: &Arc<Counts>,
    ) -> Self {
        let options =
            PlatformOptions { shape: config.shape, names: config.names, platform_logs_all: false };
        let is_managed = config.function.is_managed_instance;
        Self {
            converter: new_converter(&identity, options, is_managed),
            events: is_json.then(RawEvents::default),
            service_name: config.service_name.clone(),
            identity,
            options,
            has_one_at_a_time: !is_managed,
            waiting_since_ms: None,
            counts: Arc::clone(counts),
        }
    }

    /// Adds a platform event. Each restored environment gets the event of the init phase that made its snapshot, perhaps days ago.
    pub(crate) fn add_platform_event(&mut self, event: &PlatformEvent, text: &str, now_ms: u64) {
        if event.made_snapshot() && event.succeeded() {
            return;
        }
        let time = self.observe_time(event.time_unix_nano);
        if let Some(events) = &mut self.events {
            // The running invocation of the event is the one that begins or ends with it.
            let begins = event.kind == EventKind::Start;
            if begins {
                self.converter.note_invocation_event(event, self.has_one_at_a_time);
            }
            events.add_platform_event(event, text, time, self.converter.request_id());
            if !begins {
                self.converter.note_invocation_event(event, self.has_one_at_a_time);
            }
        } else {
            let log_event = LogEventRef { id: "", time_ms: in_ms(time), message: text };
            self.converter.convert_platform_event(
                &log_event,
                event.clone(),
                self.has_one_at_a_time,
            );
        }
        self.note_waiting(now_ms);
    }

    /// Takes a line, and returns its content that is no text of the function.
    pub(super) fn take(&mut self, line: &LogLine, now_ms: u64) -> LineContent {
        let time = self.observe_time(line.time_unix_nano);
        let mut content = LineContent::default();
        match read_line_of(&line.message, &self.identity.line_context(), &Limits::default()) {
            None => {
                self.take_text(line, &line.message, time);
                if line.from == LineSource::Function {
                    self.converter.note_printed_line(&line.message, time);
                    content.out_of_memory = self.read_out_of_memory(&line.message, time);
                }
            }
            Some(LineReading { decoded, undecodable, text, .. }) => {
                for unread in undecodable {
                    self.take_undecodable(line, &unread, time);
                }
                if let Some(text) = text {
                    self.take_text(line, &text, time);
                }
                for request in decoded.into_iter().filter(|request| request.items() > 0) {
                    let named = named(request, &self.service_name);
                    self.note_spans_of(&named);
                    content.requests.push(named);
                }
            }
        }
        self.note_waiting(now_ms);
        content
    }

    fn read_out_of_memory(&self, text: &str, time_unix_nano: u64) -> Option<OutOfMemory> {
        let request_id = || self.converter.request_id().map(str::to_owned);
        is_out_of_memory(text).then(|| OutOfMemory { request_id: request_id(), time_unix_nano })
    }

    /// Takes what the lines and events so far said about the ends of invocations.
    pub(crate) fn take_statements(&mut self) -> Vec<InvocationStatement> {
        self.converter.take_statements()
    }

    /// Takes an OTLP line that does not decode.
    fn take_undecodable(&mut self, line: &LogLine, unread: &UndecodableLine, time: u64) {
        self.counts.add(Count::Undecodable, unread.lines());
        if let Some(events) = &mut self.events {
            events.add_line(line, &unread.line, time, self.converter.request_id());
            return;
        }
        let reason = unread.reason.to_string();
        let undecodable = Undecodable {
            reason: &reason,
            size_bytes: unread.bytes,
            sha256: unread.sha256.as_str(),
        };
        let event = LogEventRef { id: "", time_ms: in_ms(time), message: "" };
        self.converter.convert_undecodable(&event, &undecodable);
    }

    fn take_text(&mut self, line: &LogLine, text: &str, time: u64) {
        if let Some(events) = &mut self.events {
            // A root line is no text of the function.
            if RootLine::read(text).is_none() {
                events.add_line(line, text, time, self.converter.request_id());
            }
        } else {
            let event = LogEventRef { id: "", time_ms: in_ms(time), message: text };
            self.converter.convert_function_text(&event);
        }
    }

    /// Notes received spans, whose ids the records of their invocations get.
    pub(crate) fn note_spans(&mut self, spans: &[ReceivedSpan]) {
        for span in spans {
            let Some(request_id) = &span.request_id else { continue };
            let ids = SpanIds { request_id: Some(request_id), ..span.ids };
            self.converter.note_invocation_span(request_id, &ids);
            self.converter.note_trace(ids.trace_id);
        }
    }

    pub(super) fn note_spans_of(&mut self, request: &Request) {
        request.each_trace_id(&mut |trace_id| self.converter.note_trace(trace_id));
        request.each_invocation_span(&mut |id, span| {
            self.converter.note_invocation_span(id, &span);
        });
        request.each_error_of_library(&mut |id, error| {
            self.converter.note_error_record(id, &error);
        });
    }

    pub(super) fn waiting_since_ms(&self) -> Option<u64> {
        self.waiting_since_ms
    }

    /// Returns `true` if the records should wait no longer: their invocation has ended, they are older than `interval`, or they
    /// are many.
    pub(super) fn is_due(
        &self,
        newest: Option<&NewestInvocation>,
        interval: Duration,
        now_ms: u64,
    ) -> bool {
        let Some(since_ms) = self.waiting_since_ms else { return false };
        let is_old = u128::from(now_ms.saturating_sub(since_ms)) >= interval.as_millis();
        let may_see_spans = match newest {
            Some(newest) => !newest.is_done && now_ms < last_moment_ms(newest.deadline_ms),
            None => !self.has_one_at_a_time,
        };
        self.events.is_some() || is_old || !may_see_spans || self.is_full()
    }

    /// Returns `true` if too many bytes of records or events wait.
    pub(crate) fn is_full(&self) -> bool {
        let events = self.events.as_ref().map_or(0, RawEvents::bytes);
        self.converter.waiting_bytes().max(events) > MAX_WAITING_BYTES
    }

    /// Takes the waiting records, and the metrics embedded in lines. If the conversion panics, later lines find a new converter.
    pub(super) fn take_requests(&mut self) -> Vec<Request> {
        if self.waiting_since_ms.take().is_none() {
            return Vec::new();
        }
        if let Some(events) = &mut self.events {
            return vec![events.take_request(&self.service_name)];
        }
        let is_managed = !self.has_one_at_a_time;
        let after_panic = new_converter(&self.identity, self.options, is_managed);
        let converted = mem::replace(&mut self.converter, after_panic).finish();
        self.converter = converter_with(&self.identity, self.options, converted.state);
        let metrics = converted
            .metrics
            .map(|metrics| Request::encode::<Metrics>(&Metrics::request(vec![metrics])));
        converted.logs.into_iter().chain(metrics).collect()
    }

    /// Returns the time of an event, and sets the time of its receipt in the converter.
    fn observe_time(&mut self, time_unix_nano: Option<u64>) -> u64 {
        let now = unix_nanos();
        self.converter.set_observed_time(now);
        time_unix_nano.unwrap_or(now)
    }

    fn note_waiting(&mut self, now_ms: u64) {
        let events = self.events.as_ref().map_or(0, RawEvents::bytes);
        if self.converter.waiting_bytes() > 0 || events > 0 {
            self.waiting_since_ms.get_or_insert(now_ms);
        }
    }
}

/// Returns a converter of an environment that has read no line yet.
fn new_converter(identity: &Identity, options: PlatformOptions, is_managed: bool) -> Converter {
    let converter = converter_with(identity, options, ConverterState::default());
    if is_managed { converter.of_managed_instance() } else { converter }
}

fn converter_with(
    identity: &Identity,
    options: PlatformOptions,
    state: ConverterState,
) -> Converter {
    Converter::new(identity.clone(), options, 0).with_state(state).counted_elsewhere()
}

/// Returns the time in milliseconds, the unit of log events.
fn in_ms(unix_nano: u64) -> i64 {
    i64::try_from(unix_nano / 1_000_000).unwrap_or(i64::MAX)
}

/// The content of a line that is no text of the function.
#[derive(Default)]
pub(super) struct LineContent {
    /// The OTLP in it.
    pub(super) requests: Vec<Request>,
    pub(super) out_of_memory: Option<OutOfMemory>,
}

/// The part of an event that is stored unchanged.
#[derive(Deserialize)]
struct EventRecord<'a> {
    #[serde(borrow)]
    record: &'a RawValue,
}

/// Unchanged events that wait to be sent.
#[derive(Default)]
pub(super) struct RawEvents {
    /// The body of the request so far.
    records: Vec<u8>,
    count: usize,
}

impl RawEvents {
    pub(super) fn add_platform_event(
        &mut self,
        event: &PlatformEvent,
        text: &str,
        time_unix_nano: u64,
        running: Option<&str>,
    ) {
        let envelope: Option<EventRecord<'_>> = serde_json::from_str(text).ok();
        let json = envelope.map_or("null", |event| event.record.get());
        let record = JsonStreamRecord::Json(json);
        let request_id = event.request_id.as_deref().or(running);
        let kind = event.kind.as_str();
        JsonStreamEvent { time_unix_nano, kind, record, request_id }.write(&mut self.records);
        self.count += 1;
    }

    /// Adds a line, or its text without the OTLP in it.
    pub(super) fn add_line(
        &mut self,
        line: &LogLine,
        text: &str,
        time_unix_nano: u64,
        running: Option<&str>,
    ) {
        let kind = match line.from {
            LineSource::Function => "function",
            LineSource::Extension => "extension",
        };
        let is_whole = line.is_json && text.len() == line.message.len();
        let record =
            if is_whole { JsonStreamRecord::Json(text) } else { JsonStreamRecord::Text(text) };
        let request_id = running;
        JsonStreamEvent { time_unix_nano, kind, record, request_id }.write(&mut self.records);
        self.count += 1;
    }

    pub(super) fn bytes(&self) -> usize {
        self.records.len()
    }

    pub(super) fn take_request(&mut self, service_name: &str) -> Request {
        let records = mem::take(&mut self.records);
        let count = mem::take(&mut self.count);
        events_request(service_name, &records, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocations::identity::identity;
    use extensions_api::Registration;
    use platform::TelemetryRecord;

    /// Each restored environment gets the event of the init phase that made its snapshot, perhaps days ago.
    #[test]
    fn the_init_phase_of_a_snapshot_leaves_nothing_waiting() {
        let add = |lines: &mut PrintedLines, kind: &str, fields: &str| {
            let text = format!(
                r#"{{"time":"2026-09-21T14:13:20.123Z","type":"platform.{kind}","record":{{"initializationType":"snap-start",{fields}}}}}"#
            );
            let body = format!("[{text}]");
            let batch = platform::parse_batch(&body);
            let TelemetryRecord::Platform(event) = &batch.events[0].record else {
                panic!("{text}")
            };
            lines.add_platform_event(event, &text, 1000);
        };
        for is_json in [false, true] {
            for phase in ["init", "snap-start"] {
                let config = Config::from_source(&[]);
                let function = identity(&config, &Registration::default());
                let mut lines = PrintedLines::new(&config, function, is_json, &Arc::default());
                let phase = format!(r#""phase":"{phase}""#);
                add(&mut lines, "initStart", &phase);
                add(&mut lines, "initRuntimeDone", r#""status":"success""#);
                let report =
                    format!(r#""status":"success",{phase},"metrics":{{"durationMs":100}}"#);
                add(&mut lines, "initReport", &report);
                assert_eq!(lines.take_requests().len(), 0, "{phase} {is_json}");
                add(&mut lines, "initReport", &report.replace("success", "error"));
                assert!(!lines.take_requests().is_empty(), "{phase} {is_json}");
            }
        }
    }
}
